// The running example, exactly: a mixture of normal distributions in one dimension, in double
// precision. The same formulas as in ddpm_tutorial/mathematics/{schedule,exact}.py, with which
// golden.json compares them. t = 0 is the data, as everywhere in the book.

export const EXAMPLE = {weights: [0.3, 0.7], means: [-0.6, 0.5], variances: [0.01, 0.02]};

const SIGNALS = {
  cosine: (u) => Math.cos(((u + 0.008) / 1.008) * (Math.PI / 2)) ** 2,
  sigmoid: (u) => Math.tanh(1.5) - Math.tanh(3 * u - 1.5),
  straight: (u) => (1 - u) ** 2 / ((1 - u) ** 2 + u ** 2),
};

/** beta, alpha, alphaBar, snr at t = 0..T: "linear", "cosine", "sigmoid", "straight" or "log-snr". */
export function schedule(name, T) {
  const beta = new Float64Array(T + 1), alphaBar = new Float64Array(T + 1);
  const even = (from, to, t) => (T === 1 ? from : from + ((to - from) * (t - 1)) / (T - 1));
  const sigmoid = (v) => 1 / (1 + Math.exp(-v));
  for (let t = 1; t <= T; t++) {
    if (name === "linear") beta[t] = even(1e-4, 0.02, t);
    else if (name === "log-snr") {
      beta[t] = 1 - sigmoid(even(7, -7, t)) / (t === 1 ? 1 : sigmoid(even(7, -7, t - 1)));
    } else {
      const signal = SIGNALS[name];
      beta[t] = Math.min(1 - signal(t / T) / signal((t - 1) / T), 0.999);
    }
  }
  const alpha = beta.map((b) => 1 - b);
  alphaBar[0] = 1;
  for (let t = 1; t <= T; t++) alphaBar[t] = alphaBar[t - 1] * alpha[t];
  return {name, T, beta, alpha, alphaBar, snr: alphaBar.map((a) => a / (1 - a))};
}

/** ln of the normal density. */
export const logNormal = (x, mean, variance) =>
  -0.5 * ((x - mean) ** 2 / variance + Math.log(2 * Math.PI * variance));

/** The marginal q(x_t) where the data's share of the variance is `a` = alphaBar[t]. */
export const marginal = ({weights, means, variances}, a) => ({
  weights,
  means: means.map((m) => Math.sqrt(a) * m),
  variances: variances.map((v) => a * v + 1 - a),
});

const componentLogs = ({weights, means, variances}, x) =>
  weights.map((w, k) => Math.log(w) + logNormal(x, means[k], variances[k]));

function logSumExp(logs) {
  const most = Math.max(...logs);
  return most + Math.log(logs.reduce((sum, one) => sum + Math.exp(one - most), 0));
}

/** ln of the mixture's density at x. */
export const logDensity = (mixture, x) => logSumExp(componentLogs(mixture, x));
export const density = (mixture, x) => Math.exp(logDensity(mixture, x));

/** For each hump, the probability that x came from it. */
export function responsibilities(mixture, x) {
  const logs = componentLogs(mixture, x), all = logSumExp(logs);
  return logs.map((one) => Math.exp(one - all));
}

/** The gradient of ln of the mixture's density at x. */
export function score(mixture, x) {
  const {means, variances} = mixture;
  return responsibilities(mixture, x).reduce((sum, r, k) => sum + (r * (means[k] - x)) / variances[k], 0);
}

/** The mean of a mixture. */
export const mean = ({weights, means}) => weights.reduce((sum, w, k) => sum + w * means[k], 0);

/** The variance of a mixture. */
export function variance(mixture) {
  const middle = mean(mixture), {weights, means, variances} = mixture;
  return weights.reduce((sum, w, k) => sum + w * (variances[k] + (means[k] - middle) ** 2), 0);
}

/** The way back from x at alphaBar `a` to alphaBar `b` > a: the mixture q(x_s | x_t).
 * At b = 1 it is the posterior q(x_0 | x_t). */
export function stepBack(data, x, a, b = 1) {
  const there = marginal(data, b), kept = Math.sqrt(a / b), added = 1 - a / b;
  const gains = there.variances.map((v) => (kept * v) / (kept ** 2 * v + added));
  return {
    weights: responsibilities(marginal(data, a), x),
    means: there.means.map((m, k) => m + gains[k] * (x - kept * m)),
    variances: there.variances.map((v) => (v * added) / (kept ** 2 * v + added)),
  };
}

/** What is left of the mixture when x_0 was measured as y, with an error of standard deviation sigma. */
export function given({weights, means, variances}, y, sigma) {
  const s = sigma ** 2, logs = weights.map((w, k) => Math.log(w) + logNormal(y, means[k], variances[k] + s));
  const all = logSumExp(logs), spread = variances.map((v) => (v * s) / (v + s));
  return {
    weights: logs.map((one) => Math.exp(one - all)),
    means: means.map((m, k) => spread[k] * (m / variances[k] + y / s)),
    variances: spread,
  };
}

/** Mean, variance and third central moment of x_0 given x_t = x, with nothing made on the way but these. */
export function moments({weights, means, variances}, x, a) {
  const root = Math.sqrt(a), n = weights.length;
  let most = -Infinity;
  for (let k = 0; k < n; k++) {
    const spread = a * variances[k] + 1 - a, away = x - root * means[k];
    most = Math.max(most, Math.log(weights[k]) - 0.5 * ((away * away) / spread + Math.log(spread)));
  }
  let all = 0, first = 0, second = 0, third = 0;
  for (let k = 0; k < n; k++) {
    const v = variances[k], spread = a * v + 1 - a, away = x - root * means[k];
    const here = Math.exp(Math.log(weights[k]) - 0.5 * ((away * away) / spread + Math.log(spread)) - most);
    const m = means[k] + (root * v * away) / spread, within = (v * (1 - a)) / spread;
    all += here;
    first += here * m;
    second += here * (m * m + within);
    third += here * m * (m * m + 3 * within);
  }
  const mean = first / all, square = second / all;
  return [mean, square - mean * mean, third / all - 3 * mean * square + 2 * mean ** 3];
}

/** The guess of x_0 moved towards a measurement y, as PosteriorGuidance does: with the variance of x_0
 * given x_t, or without (DPS). Gives the guess, and that variance. */
export function guided(data, x, a, y, sigma, withVariance) {
  const [guess, variance, third] = moments(data, x, a), gain = Math.sqrt(a) / (1 - a), off = y - guess;
  const spread = sigma ** 2 + (withVariance ? variance : 0), rise = withVariance ? gain * third : 0;
  const slope = (off * gain * variance) / spread + (rise * ((off * off) / spread - 1)) / (2 * spread);
  return [guess + slope / gain, variance];
}

/** The share of a mixture below x. */
export const shareBelow = ({weights, means, variances}, x) =>
  weights.reduce((sum, w, k) => sum + w * normalShare((x - means[k]) / Math.sqrt(variances[k])), 0);

// The share of the standard normal distribution below z, by its power series.
function normalShare(z) {
  if (Math.abs(z) > 8) return z > 0 ? 1 : 0;
  let term = z, sum = z;
  for (let k = 3; Math.abs(term) > 1e-17; k += 2) sum += term *= (z * z) / k;
  return 0.5 + (sum * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI);
}

/** Where the share of the mixture below is `share`, by bisection. */
export function quantile(mixture, share) {
  let low = -9, high = 9;
  for (let k = 0; k < 60; k++) {
    const middle = (low + high) / 2;
    if (shareBelow(mixture, middle) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** KL(mixture || normal of the same mean and variance), in nats, by a sum over a grid. */
export function divergenceFromNormal(mixture) {
  const m = mean(mixture), v = variance(mixture), wide = Math.sqrt(v);
  let sum = 0, all = 0;
  for (let k = 0; k <= 1200; k++) {
    const x = m + wide * (-12 + k / 50), log = logDensity(mixture, x), here = Math.exp(log);
    sum += here * (log - logNormal(x, m, v));
    all += here;
  }
  return sum / all;
}

/** What a model with perfect guesses pays, in nats, averaged over data and noise. `denoising` and `gap`
 * are given for four variances of its steps: "tilde", "beta", "best" (for each t), "true" (for each x_t).
 * Gives {denoising: {choice: for t = 0..T, 0 below t = 2}, prior, reconstruction, entropy, gap}. */
export function bound(data, chain, points = 601) {
  const {T, alphaBar, snr} = chain, denoising = {};
  for (const choice of ["tilde", "beta", "best", "true"]) denoising[choice] = new Float64Array(T + 1);
  for (let t = 2; t <= T; t++) {
    const a = alphaBar[t], fall = snr[t - 1] - snr[t];
    const [u, log] = averages(data, a, points, (v) => fall * v, (v) => Math.log1p(fall * v));
    const r = (1 - alphaBar[t - 1]) / (1 - a);
    denoising.tilde[t] = u / 2;
    denoising.beta[t] = (r * (1 + u) - 1 - Math.log(r)) / 2;
    denoising.best[t] = Math.log1p(u) / 2;
    denoising.true[t] = log / 2;
  }
  const [reconstruction] = averages(data, alphaBar[1], points, (v) => Math.log(2 * Math.PI * Math.E * v) / 2);
  const a = alphaBar[T], square = variance(data) + mean(data) ** 2;
  const prior = (a * square - a - Math.log1p(-a)) / 2, entropy = differentialEntropy(data);
  const gap = {};
  for (const [choice, terms] of Object.entries(denoising)) {
    gap[choice] = terms.reduce((sum, one) => sum + one, reconstruction + prior - entropy);
  }
  return {denoising, prior, reconstruction, entropy, gap};
}

// Averages over q(x_t) of functions of Var(x_0 | x_t). Half a million of these are asked for at once,
// so nothing is made on the way.
function averages({weights, means, variances}, a, points, ...functions) {
  const sums = functions.map(() => 0), root = Math.sqrt(a), n = weights.length;
  let all = 0;
  for (let i = 0; i < points; i++) {
    const x = -4.5 + (9 * i) / (points - 1);
    let q = 0, first = 0, second = 0;
    for (let k = 0; k < n; k++) {
      const v = variances[k], spread = a * v + 1 - a, away = x - root * means[k];
      const here = weights[k] * Math.exp((-0.5 * away * away) / spread) / Math.sqrt(spread);
      const guess = means[k] + (root * v * away) / spread;
      q += here;
      first += here * guess;
      second += here * (guess * guess + (v * (1 - a)) / spread);
    }
    if (!q) continue;
    const v = second / q - (first / q) ** 2;
    all += q;
    for (let f = 0; f < functions.length; f++) sums[f] += q * functions[f](v);
  }
  return sums.map((sum) => sum / all);
}

/** −E ln q(x_0), in nats. */
function differentialEntropy(mixture) {
  let sum = 0, all = 0;
  for (let k = 0; k <= 6000; k++) {
    const x = -4.5 + (9 * k) / 6000, log = logDensity(mixture, x), here = Math.exp(log);
    all += here;
    sum -= here && here * log;
  }
  return sum / all;
}

/** One step of Langevin dynamics: along the score of the mixture, with noise z. */
export const langevin = (mixture, x, h, z) => x + h * score(mixture, x) + Math.sqrt(2 * h) * z;

/** Even strides from T to 0: [[t, s], …], each of which takes one look at x_t. */
export function strides(T, steps) {
  const times = Array.from({length: steps + 1}, (_, k) => halfToEven((T * (steps - k)) / steps));
  return times.slice(1).map((s, k) => [times[k], s]);
}

// Python rounds a half to the even side.
function halfToEven(v) {
  const low = Math.floor(v);
  return v - low === 0.5 ? low + (low % 2) : Math.round(v);
}

/** How a sampler goes from t to s ≥ 1, given the exact guess; the last step goes to the guess itself.
 * (data, a, b, x, z, before) => x_s, with a = alphaBar[t], b = alphaBar[s], z standard normal, and
 * `before`, where there was a step before, {a, guess}. */
export const SAMPLERS = {
  ddpm(data, a, b, x, z) {
    const back = stepBack(data, x, a, b);
    return mean(back) + Math.sqrt(variance(back)) * z;
  },
  ddim: (data, a, b, x) => {
    const guess = bestGuess(data, x, a);
    return Math.sqrt(b) * guess + Math.sqrt(1 - b) * noiseIn(x, a, guess);
  },
  "dpm++"(data, a, b, x, z, before) {
    const lambda = (share) => 0.5 * Math.log(share / (1 - share));
    const h = lambda(b) - lambda(a), guess = bestGuess(data, x, a);
    const slope = before ? (0.5 * h) / (lambda(a) - lambda(before.a)) : 0;
    const target = before ? guess + slope * (guess - before.guess) : guess;
    return Math.sqrt((1 - b) / (1 - a)) * x - Math.sqrt(b) * Math.expm1(-h) * target;
  },
  heun(data, a, b, x) {
    const guess = bestGuess(data, x, a), there = SAMPLERS.ddim(data, a, b, x);
    const scale = (share) => Math.sqrt(share) + Math.sqrt(1 - share);
    const level = (share) => Math.sqrt(1 - share) / scale(share);
    return there + 0.5 * scale(b) * (1 - level(a) / level(b)) * (guess - bestGuess(data, there, b));
  },
};

/** E[x_0 | x_t]. */
export const bestGuess = (data, x, a) => mean(stepBack(data, x, a));
const noiseIn = (x, a, guess) => (x - Math.sqrt(a) * guess) / Math.sqrt(1 - a);

/** The path of a sampler from x at T: [[t, x_t], …, [0, x_0]]. `normal` draws the noise. */
export function walk(data, chain, sampler, pairs, x, normal = () => 0) {
  const path = [[pairs[0][0], x]];
  let before;
  for (const [t, s] of pairs) {
    const a = chain.alphaBar[t], guess = bestGuess(data, x, a);
    x = s === 0 ? guess : SAMPLERS[sampler](data, a, chain.alphaBar[s], x, normal(), before);
    before = {a, guess};
    path.push([s, x]);
  }
  return path;
}

/** Standard normal draws from a seed. */
export function normals(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let r = Math.imul(state ^ (state >>> 15), state | 1);
    r ^= r + Math.imul(r ^ (r >>> 7), r | 61);
    return ((r ^ (r >>> 14)) >>> 0) / 2 ** 32;
  };
  const draw = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  draw.uniform = uniform;
  return draw;
}
