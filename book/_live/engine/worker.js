// Runs beside the page, which stays free to move: takes weights, then settings, then asks for steps.
//   {weights}   base64 of a safetensors file  ->  {ready: true}
//   {begin, settings}  {label, guidance, sampler, steps, seed, known, times}: a digit of this name begins;
//                      with no label, the
//                      network is told nothing; `known` holds pixels, and `times` says how often to take each step, if not once
//   {next, asked}      the next step of the digit of this name
//                      ->  {asked, t, alpha_bar, x_t, x0_hat, milliseconds}
import {denoiserOf, replacing, resampled, SAMPLERS, timestepPairs, walk} from "./diffusion.js";
import {normal} from "./noise.js";
import {fromBase64, readSafetensors} from "./safetensors.js";
import {UNet} from "./unet.js";

let network, config;
const paths = new Map();

function pathOf({label, guidance, sampler, steps, seed, known, times = 1}) {
  const untold = config.network.num_classes;
  const told = denoiserOf(network, config, label ?? untold, guidance);
  const denoiser = known ? replacing(told, known) : told;
  const noise = normal(seed, config.network.image_size ** 2);
  const pairs = timestepPairs(config.T, steps);
  const step = resampled(SAMPLERS[sampler], times);
  return {denoiser, steps: walk(denoiser, noise(), pairs, step, noise)};
}

function answer({weights, begin, settings, next, asked}) {
  if (weights) {
    const file = readSafetensors(fromBase64(weights).buffer);
    [network, config] = [new UNet(file), file.config];
    return {ready: true};
  }
  if (begin) {
    paths.set(begin, pathOf(settings));
    return;
  }
  const started = performance.now();
  const {denoiser, steps} = paths.get(next);
  const {value} = steps.next();
  const alpha_bar = denoiser.alpha_bar[value.t];
  if (value.t === 0) paths.delete(next);
  return {asked, alpha_bar, ...value, milliseconds: performance.now() - started};
}

self.onmessage = ({data}) => {
  try {
    const said = answer(data);
    if (said) self.postMessage(said);
  } catch (error) {
    self.postMessage({failed: String(error)});
  }
};
