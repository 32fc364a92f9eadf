// Chapter 17: the exact answers to a measurement, and those that each method draws.
import {EXAMPLE, density, given, guided, logNormal, moments, normals, schedule, shareBelow, strides} from "../mixture.js";
import {grid, key, plot} from "../shared/plot.js";
import {choice, mount, num, slider, sym} from "../shared/view.js";

const T = 1000, CHAIN = schedule("cosine", T), N = 2000, PAIRS = strides(T, 50);
const XS = grid(-1.6, 1.6, 321), STATES = grid(-1.6, 1.6, 161), BINS = 64, WIDE = 3.2 / BINS;
const LOOKS = {exact: ["c0", ""], dps: ["c1", "7 4"], variance: ["c2", "9 4 2 4"]};

/** The guess of a method at x_t, and the variance that its step adds. */
function look(method, truth, x, a, y, sigma) {
  return method === "exact" ? moments(truth, x, a) : guided(EXAMPLE, x, a, y, sigma, method === "variance");
}

/** N answers, by ancestral sampling in 50 steps. */
function answers(method, truth, y, sigma) {
  const normal = normals(5), xs = Float64Array.from({length: N}, normal), {alphaBar} = CHAIN;
  for (const [t, s] of PAIRS) {
    const a = alphaBar[t], b = alphaBar[s], kept = a / b;
    const ofGuess = (Math.sqrt(b) * (1 - kept)) / (1 - a), ofState = (Math.sqrt(kept) * (1 - b)) / (1 - a);
    const fresh = ((1 - kept) * (1 - b)) / (1 - a);
    for (let i = 0; i < N; i++) {
      const [guess, variance] = look(method, truth, xs[i], a, y, sigma);
      xs[i] = s ? ofGuess * guess + ofState * xs[i] + Math.sqrt(fresh + ofGuess ** 2 * variance) * normal() : guess;
    }
  }
  return xs;
}

function draw({y, sigma, method, t}, view) {
  const truth = given(EXAMPLE, y, sigma), {above, below} = view.made, small = view.width < 420;
  const drawn = answers(method, truth, y, sigma), [colour] = LOOKS[method];
  const edges = [], heights = [], counts = new Float64Array(BINS);
  for (const x of drawn) if (Math.abs(x) < 1.6) counts[Math.floor((x + 1.6) / WIDE)] += 1 / (N * WIDE);
  counts.forEach((count, k) => {
    edges.push(-1.6 + k * WIDE, -1.6 + (k + 1) * WIDE);
    heights.push(count, count);
  });
  const exact = XS.map((x) => density(truth, x)), most = Math.max(2.2, ...exact, ...heights);
  const picture = plot(above, {
    width: view.width,
    height: small ? 220 : 250,
    x: {range: [-1.6, 1.6], label: "x_0", ticks: [-1, 0, 1]},
    y: {range: [0, 1.08 * most], label: "density"},
    describe: "The data, the likelihood of the measurement, the exact answers, and a histogram of the answers drawn.",
  });
  picture.fill(edges, heights, colour);
  picture.line(edges, heights, `${colour} thin`);
  picture.line(XS, XS.map((x) => density(EXAMPLE, x)), "faint", "2 4");
  picture.line(XS, XS.map((x) => Math.exp(logNormal(y, x, sigma ** 2))), "c3", "7 4");
  picture.line(XS, exact, "ink");
  picture.text(y, 0, "$y$", "", "middle", 0, -14);
  picture.handle(y, 0, "c3", (x) => view.set("y", Math.max(-1.2, Math.min(1.2, x))));

  const guesses = plot(below, {
    width: view.width,
    height: small ? 200 : 220,
    x: {range: [-1.6, 1.6], label: `x_t at $t$ = ${t}`, ticks: [-1, 0, 1]},
    y: {range: [-1.3, 1.3], label: "guess of x_0", ticks: [-1, 0, 1]},
    describe: "The guess of x_0 against x_t: without the measurement, exact with it, and by two approximations.",
  });
  const a = CHAIN.alphaBar[t];
  guesses.line(STATES, STATES.map((x) => moments(EXAMPLE, x, a)[0]), "faint", "2 4");
  for (const [name, [hue, dash]] of Object.entries(LOOKS)) {
    const curve = STATES.map((x) => look(name, truth, x, a, y, sigma)[0]);
    guesses.line(STATES, curve, name === method ? `${hue} chosen` : `${hue} other`, dash);
  }
  const left = drawn.reduce((sum, x) => sum + (x < 0), 0) / N;
  return (
    `Of the exact answers ${num(100 * shareBelow(truth, 0), 0)}% lie left of 0, of the ${N.toLocaleString("en")} that ` +
    `were drawn ${num(100 * left, 0)}%. Below, at ${sym("x", "t")} = 0: the exact guess is ` +
    `${num(moments(truth, 0, a)[0])}, that of the method ${num(look(method, truth, 0, a, y, sigma)[0])}.`
  );
}

mount("answers", {
  title: "Ask the running example",
  caption:
    `Compare the methods, then drag the measurement ${sym("y")}. The answers drawn (histogram) should lie as the exact ` +
    `ones do (solid), which data (dotted) and likelihood (dashed) make together. At the start DPS takes too many from ` +
    `the left: below, its guess runs downhill where the exact one climbs.`,
  controls: {
    method: choice({
      label: "method",
      start: "dps",
      options: {
        exact: `${key(...LOOKS.exact)} exact`,
        dps: `${key(...LOOKS.dps)} DPS`,
        variance: `${key(...LOOKS.variance)} with variance`,
      },
    }),
    y: slider({label: `measured ${sym("y")}`, spoken: "measured y", range: [-1.2, 1.2, 0.05], start: -0.2, say: (v) => num(v)}),
    sigma: slider({
      label: `its error ${sym("σ", "y")}`,
      spoken: "its error sigma y",
      range: [0.1, 1, 0.05],
      start: 0.4,
      say: (v) => num(v),
    }),
    t: slider({label: `step ${sym("t")} of the lower picture`, spoken: "step t", range: [20, 980, 20], start: 400, wide: true}),
  },
  setup(stage) {
    const [above, below] = [document.createElement("div"), document.createElement("div")];
    stage.append(above, below);
    return {above, below};
  },
  draw,
});
