// Chapter 4: the marginals of the two humps at every t. The humps are dragged, or moved by sliders.
import {EXAMPLE, density, logDensity, marginal, schedule} from "../mixture.js";
import {grid, plot} from "../shared/plot.js";
import {choice, mount, num, percent, slider, sym} from "../shared/view.js";

const T = 1000, TIMES = grid(0, T, 126), ROWS = grid(-2.5, 2.5, 151), FINE = grid(-2.5, 2.5, 401);
const VARIANCES = [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32];

const place = (name, colour, start) =>
  slider({
    label: `<span class="spot ${colour}"></span> ${name} at`,
    spoken: `middle of the ${name} hump`,
    range: [-1.5, 1.5, 0.05],
    start,
    say: (v) => num(v),
  });
const width = (name, colour, start) =>
  slider({
    label: `<span class="spot ${colour}"></span> its variance`,
    spoken: `variance of the ${name} hump`,
    values: VARIANCES,
    start,
  });

/** How many peaks the density has. */
function peaks(mixture) {
  const values = FINE.map((x) => logDensity(mixture, x));
  return values.filter((v, k) => k && v > values[k - 1] && v >= (values[k + 1] ?? Infinity)).length;
}

/** The first t from which on there is one peak; 0 if there never are two, T + 1 if there always are. */
function merging(data, {alphaBar}) {
  if (peaks(data) < 2) return 0;
  let [low, high] = [0, T + 1];
  while (high - low > 1) {
    const t = (low + high) >> 1;
    if (peaks(marginal(data, alphaBar[t])) < 2) high = t;
    else low = t;
  }
  return high;
}

function draw(values, view) {
  const {one, other, narrow, wide, share, t} = values;
  const data = {weights: [share, 1 - share], means: [one, other], variances: [narrow, wide]};
  const chain = schedule(values.schedule, T), at = (time) => marginal(data, chain.alphaBar[time]);
  const {map, slice} = view.made, small = view.width < 420;

  const heat = plot(map, {
    width: view.width,
    height: small ? 240 : 270,
    x: {range: [0, T], label: "step $t$", ticks: small ? [0, 250, 500, 750, 1000] : undefined},
    y: {range: [-2.5, 2.5], label: "x_t", ticks: [-2, -1, 0, 1, 2]},
    describe: "A map of the density of x_t at every step t: two bands that widen, meet and fade into one.",
  });
  heat.shades(TIMES.map((time) => ROWS.map((x) => Math.sqrt(density(at(Math.round(time)), x)) / 1.4)));
  for (const [k, colour] of [[0, "c1"], [1, "c0"]]) {
    const line = TIMES.map((time) => at(Math.round(time)).means[k]);
    heat.line(TIMES, line, colour, "2 4");
  }
  heat.follow((time) => view.set("t", Math.max(0, Math.min(T, time))));
  heat.upright(t, "c2", "6 3");
  heat.handle(0, one, "c1", (_, v) => view.set("one", v));
  heat.handle(0, other, "c0", (_, v) => view.set("other", v));

  const here = at(t), ys = FINE.map((x) => density(here, x)), most = Math.max(...ys, 0.8);
  const cut = plot(slice, {
    width: view.width,
    height: small ? 170 : 190,
    x: {range: [-2.5, 2.5], label: "x_t", ticks: [-2, -1, 0, 1, 2]},
    y: {range: [0, 1.08 * most], label: "$q$(x_t)"},
    describe: `The density of x_t at the step that is chosen: the share of each hump, and their sum.`,
  });
  ["c1", "c0"].forEach((colour, k) => {
    const alone = {weights: [1], means: [here.means[k]], variances: [here.variances[k]]};
    cut.fill(FINE, FINE.map((x) => here.weights[k] * density(alone, x)), colour);
  });
  cut.line(FINE, FINE.map((x) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)), "faint", "2 4");
  cut.line(FINE, ys, "c2");
  cut.text(-2.45, 0.1, "noise", "", "start", 0, -8);

  const closes = merging(data, chain);
  const meeting =
    closes > T ? `The humps stay apart up to ${sym("t")} = ${T}.`
    : closes ? `The valley between the humps closes at ${sym("t")} = ${closes}.`
    : "There is only one hump from the start.";
  return (
    `At ${sym("t")} = ${t} the data still make up ${sym("bar α", "t")} ${percent(chain.alphaBar[t], "= ")} ` +
    `of the variance, and ${sym("q")}(${sym("x", "t")}) has ${peaks(here) > 1 ? "two humps" : "one hump"}. ${meeting}`
  );
}

mount("marginals", {
  title: "Move the humps",
  caption:
    "The map shows the density at every step, the curve the one at the dashed line. Drag the line, or the points on " +
    "the left edge; then change the schedule. However far apart the humps begin, they end in the bell of the noise. " +
    "The schedule decides when they meet.",
  controls: {
    t: slider({label: `step ${sym("t")}`, spoken: "step t", wide: true, range: [0, T, 1], start: 200}),
    schedule: choice({
      label: "schedule",
      options: {cosine: "cosine", linear: "linear", "log-snr": "log-SNR", straight: "straight"},
    }),
    one: place("first", "c1", EXAMPLE.means[0]),
    narrow: width("first", "c1", EXAMPLE.variances[0]),
    other: place("second", "c0", EXAMPLE.means[1]),
    wide: width("second", "c0", EXAMPLE.variances[1]),
    share: slider({
      label: `<span class="spot c1"></span> share of the first hump`,
      spoken: "share of the first hump",
      range: [0.05, 0.95, 0.05],
      start: EXAMPLE.weights[0],
      say: (v) => num(v),
      wide: true,
    }),
  },
  setup(stage) {
    const [map, slice] = [document.createElement("div"), document.createElement("div")];
    stage.append(map, slice);
    return {map, slice};
  },
  draw,
});
