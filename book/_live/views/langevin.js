// Chapter 12: Langevin chains on the two humps, and the score that moves them.
import {EXAMPLE, density, marginal, normals, schedule, score, shareBelow} from "../mixture.js";
import {grid, plot} from "../shared/plot.js";
import {choice, mount, num, slider, sym} from "../shared/view.js";

const CHAIN = schedule("cosine", 1000), XS = grid(-2, 2, 401), N = 2000, LAST = 600, EVERY = 10;
const BINS = 64, [LOW, HIGH] = [-2, 2];
const SIZES = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.015];

/** Where N chains start: exact draws of the target, or all in the middle of the right hump. */
function starts(target, where) {
  const normal = normals(2);
  return Float64Array.from({length: N}, () => {
    const k = where === "right" ? 1 : normal.uniform() < target.weights[0] ? 0 : 1;
    return target.means[k] + Math.sqrt(target.variances[k]) * normal();
  });
}

/** One step for all chains: as langevin() in mixture.js, with nothing made on the way. */
function advance(x, {weights, means, variances}, h, normal) {
  const [v0, v1] = variances, factor = (weights[1] / weights[0]) * Math.sqrt(v0 / v1), jump = Math.sqrt(2 * h);
  for (let i = 0; i < x.length; i++) {
    const d0 = x[i] - means[0], d1 = x[i] - means[1];
    const first = 1 / (1 + factor * Math.exp(0.5 * ((d0 * d0) / v0 - (d1 * d1) / v1)));
    x[i] += -h * ((first * d0) / v0 + ((1 - first) * d1) / v1) + jump * normal();
  }
}

// The states after 0, EVERY, 2 EVERY, … steps of one setting, as far as they were needed.
let run = {};
function states(settings, target, step) {
  const {h, t, start} = settings, key = `${h} ${t} ${start}`;
  if (run.key !== key) run = {key, normal: normals(3), kept: [starts(target, start)]};
  while (run.kept.length <= step / EVERY) {
    const x = run.kept.at(-1).slice();
    for (let k = 0; k < EVERY; k++) advance(x, target, h, run.normal);
    run.kept.push(x);
  }
  return run.kept[step / EVERY];
}

function draw(values, view) {
  const {t, step} = values, target = marginal(EXAMPLE, CHAIN.alphaBar[t]);
  // Who lets the chains begin elsewhere wants to see where.
  if (values.start !== view.made.start) {
    view.made.start = values.start;
    if (step) return view.set("step", 0);
  }
  const x = states(values, target, step), {above, below} = view.made, small = view.width < 420;
  const counts = new Float64Array(BINS), wide = (HIGH - LOW) / BINS;
  for (const one of x) if (one >= LOW && one < HIGH) counts[Math.floor((one - LOW) / wide)] += 1 / (N * wide);

  const truth = XS.map((v) => density(target, v)), tallest = 1 / Math.sqrt(2 * Math.PI * target.variances[1]);
  const most = Math.max(...truth, 0.5, values.start === "right" ? tallest : 0);
  const bars = plot(above, {
    width: view.width,
    height: small ? 210 : 230,
    x: {range: [LOW, HIGH], label: "", ticks: [-2, -1, 0, 1, 2]},
    y: {range: [0, 1.25 * most], label: "density"},
    describe: "A histogram of where the chains are, with the density whose score they follow.",
  });
  const edges = [], heights = [];
  counts.forEach((count, k) => {
    edges.push(LOW + k * wide, LOW + (k + 1) * wide);
    heights.push(count, count);
  });
  bars.fill(edges, heights, "c0");
  bars.line(edges, heights, "c0 thin");
  bars.line(XS, truth, "ink", "2 3");

  const slope = (v) => score(target, v), steepest = Math.max(...grid(-1.2, 1.2, 49).map((v) => Math.abs(slope(v))));
  const tall = [3, 6, 12].find((height) => height >= steepest) ?? 30;
  const field = plot(below, {
    width: view.width,
    height: small ? 170 : 190,
    x: {range: [LOW, HIGH], label: "$x$", ticks: [-2, -1, 0, 1, 2]},
    y: {range: [-tall, tall], label: "score", ticks: [-tall, 0, tall]},
    describe: "The score of the density: positive where it points to the right, negative to the left.",
  });
  field.level(0, "faint thin", "");
  field.line(XS, XS.map(slope), "c2");
  for (const v of grid(-1.75, 1.75, 15)) {
    const length = Math.max(-0.22, Math.min(0.22, (0.22 * slope(v)) / tall));
    if (Math.abs(length) > 0.05) field.arrow(v, 0, length, "ink");
  }
  const middle = (target.means[0] + target.means[1]) / 2, left = x.reduce((sum, v) => sum + (v < middle), 0) / N;
  return (
    `After ${step} steps of ${sym("h")} = ${values.h}: ${num(100 * left, 0)}% of the ${N.toLocaleString("en")} chains ` +
    `lie left of the middle between the humps, where ${num(100 * shareBelow(target, middle), 0)}% belong.`
  );
}

mount("langevin", {
  title: "Langevin chains, step by step",
  caption:
    `Play with ${sym("h")} = 0.01: chains that begin as the density says (dotted) lose their shares. Then start all of them on the ` +
    `right: at ${sym("t")} = 0 hardly any finds the way to the left hump. Raise the noise level ${sym("t")} until they do.`,
  controls: {
    step: slider({label: "steps taken", range: [0, LAST, EVERY], start: 0, wide: true}),
    h: slider({label: `step size ${sym("h")}`, spoken: "step size h", values: SIZES, start: 0.01}),
    t: slider({label: `noise level ${sym("t")}`, spoken: "noise level t", range: [0, 600, 50], start: 0}),
    start: choice({label: "chains begin", options: {exact: "at exact draws", right: "all on the right"}}),
  },
  setup(stage, {values}) {
    const [above, below] = [document.createElement("div"), document.createElement("div")];
    stage.append(above, below);
    return {above, below, start: values.start};
  },
  play(view) {
    const {step} = view.values;
    view.set("step", step >= LAST ? 0 : step + EVERY);
    return view.values.step < LAST;
  },
  draw,
});
