// Schedule, what is seen in x_t, and samplers: ddpm_tutorial/mathematics/schedule.py, models/ddpm.py
// and algorithms/sampling.py in short. Time is t = 0..T, and t = 0 is the data.

/** alpha_bar[t], t = 0..T, of the cosine schedule. */
function cosine(T) {
  const level = (t) => Math.cos(((t / T + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
  const alpha_bar = new Float64Array(T + 1).fill(1);
  for (let t = 1; t <= T; t++) {
    const beta = Math.min(1 - level(t) / level(t - 1), 0.999);
    alpha_bar[t] = alpha_bar[t - 1] * (1 - beta);
  }
  return alpha_bar;
}

const SCHEDULES = {cosine};

/** The table that a model was trained with, from its configuration. */
export function scheduleOf({schedule, T}) {
  return SCHEDULES[schedule](T);
}

/** The pairs [t, s] that a sampler walks, evenly spaced from T down to 0. */
export function timestepPairs(T, steps) {
  const times = Array.from({length: steps + 1}, (_, k) => roundHalfEven((T * (steps - k)) / steps));
  return times.slice(1).map((s, k) => [times[k], s]);
}

// Python's round.
function roundHalfEven(x) {
  return x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
}

/** a x + b y, number by number. */
const mix = (a, x, b, y) => x.map((value, i) => a * value + b * y[i]);

/** What the network sees in x_t, told a label, with guidance w: ModelDenoiser. */
export function denoiserOf(network, config, label, w) {
  const alpha_bar = scheduleOf(config);
  if (config.parameterisation !== "v") throw new Error("only a model that predicts v");
  const untold = config.network.num_classes;

  // (1 + w) v(label) - w v(told nothing), from two pictures at once.
  function predict(x_t, t) {
    if (!w) return network.forward(x_t, [t], [label]);
    const both = network.forward(Float32Array.of(...x_t, ...x_t), [t, t], [label, untold]);
    return mix(1 + w, both.subarray(0, x_t.length), -w, both.subarray(x_t.length));
  }

  function see(x_t, t) {
    const [signal, sigma] = signalAndSigma(alpha_bar, t);
    const x0_hat = mix(signal, x_t, -sigma, predict(x_t, t)).map(clip);
    return {x0_hat, eps_hat: epsFrom(alpha_bar, x_t, t, x0_hat)};
  }
  return {alpha_bar, see};
}

/** The same with known pixels put in their place: Replacement, in algorithms/inverse.py. `known` holds
 * NaN where nothing is known. */
export function replacing({alpha_bar, see}, known) {
  return {
    alpha_bar,
    see(x_t, t) {
      const x0_hat = see(x_t, t).x0_hat.map((value, i) => (isNaN(known[i]) ? value : known[i]));
      return {x0_hat, eps_hat: epsFrom(alpha_bar, x_t, t, x0_hat)};
    },
  };
}

const clip = (value) => Math.min(1, Math.max(-1, value));

function signalAndSigma(alpha_bar, t) {
  return [Math.sqrt(alpha_bar[t]), Math.sqrt(1 - alpha_bar[t])];
}

function epsFrom(alpha_bar, x_t, t, x0) {
  const [signal, sigma] = signalAndSigma(alpha_bar, t);
  return mix(1 / sigma, x_t, -signal / sigma, x0);
}

/** From t to s >= 1: each gives x_s. `here` is {x_t, t, seen, before}, and noise() draws fresh noise. */
export const SAMPLERS = {
  ddpm: ancestral,
  ddim,
  "dpm++": dpmSolver,
  heun,
};

// A draw of q(x_s | x_t, x0_hat).
function ancestral({alpha_bar}, {x_t, t, seen}, s, noise) {
  const [at_t, at_s] = [alpha_bar[t], alpha_bar[s]];
  const ratio = at_t / at_s;
  const of_x0 = (Math.sqrt(at_s) * (1 - ratio)) / (1 - at_t);
  const of_x_t = (Math.sqrt(ratio) * (1 - at_s)) / (1 - at_t);
  const variance = ((1 - at_s) / (1 - at_t)) * (1 - ratio);
  return mix(1, mix(of_x0, seen.x0_hat, of_x_t, x_t), Math.sqrt(variance), noise());
}

// x0_hat again with the noise that was seen, as much of it as s asks for.
function ddim({alpha_bar}, {seen}, s) {
  const [signal, sigma] = signalAndSigma(alpha_bar, s);
  return mix(signal, seen.x0_hat, sigma, seen.eps_hat);
}

// Along the line through the last two guesses.
function dpmSolver({alpha_bar}, {x_t, t, seen, before}, s) {
  const half_log_snr = (at) => 0.5 * Math.log(alpha_bar[at] / (1 - alpha_bar[at]));
  const h = half_log_snr(s) - half_log_snr(t);
  let target = seen.x0_hat;
  if (before) {
    const slope = (0.5 * h) / (half_log_snr(t) - half_log_snr(before.t));
    target = mix(1 + slope, target, -slope, before.seen.x0_hat);
  }
  const [, sigma_t] = signalAndSigma(alpha_bar, t);
  const [signal_s, sigma_s] = signalAndSigma(alpha_bar, s);
  return mix(sigma_s / sigma_t, x_t, -signal_s * Math.expm1(-h), target);
}

// A step of DDIM, a second look where it ends, and half of what the slope changes by on the way.
function heun(denoiser, here, s) {
  const {alpha_bar, see} = denoiser;
  const x_s = ddim(denoiser, here, s);
  const scale = (at) => signalAndSigma(alpha_bar, at).reduce((signal, sigma) => signal + sigma);
  const level = (at) => signalAndSigma(alpha_bar, at)[1] / scale(at);
  const change = mix(1, here.seen.x0_hat, -1, see(x_s, s).x0_hat);
  return mix(1, x_s, 0.5 * scale(s) * (1 - level(here.t) / level(s)), change);
}

/** A step taken `times` times, down and up again in between: Resampled, in algorithms/inverse.py. */
export function resampled(step, times) {
  return (denoiser, here, s, noise) => {
    let x_s = step(denoiser, here, s, noise);
    for (let k = 1; k < times; k++) {
      const {t} = here;
      const ratio = denoiser.alpha_bar[t] / denoiser.alpha_bar[s];
      const x_t = mix(Math.sqrt(ratio), x_s, Math.sqrt(1 - ratio), noise());
      x_s = step(denoiser, {x_t, t, seen: denoiser.see(x_t, t)}, s, noise);
    }
    return x_s;
  };
}

/** Yields {t, x_t, x0_hat} before each step, and last x_0 with t = 0: walk, in sampling.py. */
export function* walk(denoiser, x_T, pairs, step, noise) {
  let x_t = x_T;
  let before;
  for (const [t, s] of pairs) {
    const here = {x_t, t, seen: denoiser.see(x_t, t), before};
    yield {t, x_t, x0_hat: here.seen.x0_hat};
    x_t = s ? step(denoiser, here, s, noise) : here.seen.x0_hat;
    before = {...here, before: undefined};
  }
  yield {t: 0, x_t, x0_hat: x_t};
}
