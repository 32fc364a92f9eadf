// How far the engine's numbers are from those of the Python package: golden.json, which
// tools/write_engine_golden.py writes. The same check runs in Node and in a browser.
import {denoiserOf, replacing, resampled, SAMPLERS, timestepPairs, walk} from "./diffusion.js";
import {fromBase64, readSafetensors} from "./safetensors.js";
import {UNet} from "./unet.js";

const PIXELS = 28 ** 2;
const numbers = (text) => new Float32Array(fromBase64(text).buffer);
const picture = (pictures, k) => pictures.slice(k * PIXELS, (k + 1) * PIXELS);

/** The largest difference of each thing compared, by its name; NaN where a number is none. `golden` is
 * what golden.json has of the model with these weights. */
export function differences(golden, weights) {
  const file = readSafetensors(weights);
  const network = new UNet(file);
  const found = {};
  const compare = (name, got, wanted) => {
    found[name] = got.length === wanted.length ? 0 : Infinity;
    wanted.forEach((value, i) => (found[name] = Math.max(found[name], Math.abs(got[i] - value))));
  };

  const {t, label, ...tensors} = golden.network;
  const [x_t, output] = [numbers(tensors.x_t), numbers(tensors.output)];
  compare("network, three pictures", network.forward(x_t, t, label), output);
  t.forEach((step, k) => {
    const one = network.forward(picture(x_t, k), [step], [label[k]]);
    compare(`network, t = ${step}, label ${label[k]}`, one, picture(output, k));
  });

  const {guidance, steps, noise, paths, ...start} = golden.walks;
  const denoiser = denoiserOf(network, file.config, start.label, guidance);
  const pairs = timestepPairs(denoiser.alpha_bar.length - 1, steps);
  for (const [sampler, wanted] of Object.entries(paths)) {
    let drawn = 0;
    const given = () => picture(numbers(noise), drawn++);
    const path = [...walk(denoiser, numbers(start.x_T), pairs, SAMPLERS[sampler], given)];
    compare(`${sampler}, times`, path.map((here) => here.t), wanted.t);
    compare(`${sampler}, x0_hat`, path[0].x0_hat, numbers(wanted.x0_hat));
    path.slice(1).forEach((here, k) =>
      compare(`${sampler}, x_t after step ${k + 1}`, here.x_t, picture(numbers(wanted.x_t), k)),
    );
  }

  const {inverse} = golden;
  if (!inverse) return found;
  const untold = denoiserOf(network, file.config, file.config.network.num_classes, 0);
  let drawn = 0;
  const given = () => picture(numbers(inverse.noise), drawn++);
  const step = resampled(SAMPLERS.ddpm, inverse.times);
  const known = replacing(untold, numbers(inverse.known));
  const few = timestepPairs(known.alpha_bar.length - 1, inverse.steps);
  const answer = [...walk(known, numbers(start.x_T), few, step, given)];
  compare("replacement, x0_hat", answer[0].x0_hat, numbers(inverse.x0_hat));
  compare("replacement, resampled", answer[1].x_t, numbers(inverse.x_t));
  return found;
}
