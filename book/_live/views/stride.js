// Chapter 5: the true step back against the normal one, as the stride grows.
import {EXAMPLE, density, divergenceFromNormal, logNormal, mean, schedule, stepBack, variance} from "../mixture.js";
import {grid, plot, power} from "../shared/plot.js";
import {mount, num, slider, sym} from "../shared/view.js";

const T = 1000, CHAIN = schedule("cosine", T), XS = grid(-2.6, 2.6, 1041);
const STRIDES = [1, 2, 5, 10, 20, 50, 100, 200, 500];

function draw({x, t, stride}, view) {
  const a = CHAIN.alphaBar, s = Math.max(0, t - stride), {above, below} = view.made;
  const back = (to) => stepBack(EXAMPLE, x, a[t], a[to]), true_ = back(s);
  const [m, v] = [mean(true_), variance(true_)], small = view.width < 420;
  const ys = XS.map((u) => density(true_, u)), bell = XS.map((u) => Math.exp(logNormal(u, m, v)));
  const most = Math.max(...ys, ...bell);

  const step = plot(above, {
    width: view.width,
    height: small ? 210 : 240,
    x: {range: [-2.6, 2.6], label: "x_s", ticks: [-2, -1, 0, 1, 2]},
    y: {range: [0, 1.2 * most], label: "density"},
    describe: "The true step back from x_t, and the normal density with the same mean and variance.",
  });
  step.fill(XS, ys, "c0");
  step.line(XS, ys, "c0");
  step.line(XS, bell, "c1", "7 4");
  step.upright(x, "faint thin", "2 4");
  step.text(x, 1.2 * most, "x_t", "", "start", 4, 10);

  const possible = STRIDES.filter((one) => one <= t);
  const apart = possible.map((one) => Math.max(1e-12, divergenceFromNormal(back(t - one))));
  const misfit = divergenceFromNormal(true_), shown = [1e-8, 1e-6, 1e-4, 1e-2, 1];
  const chart = plot(below, {
    width: view.width,
    height: small ? 180 : 200,
    left: 52,
    x: {range: [0.9, 600], log: true, label: "stride $t$ − $s$", ticks: small ? [1, 10, 100, 500] : [1, 5, 20, 100, 500]},
    y: {range: [1e-9, 4], log: true, label: "misfit, nats", ticks: shown, say: power},
    describe: "The divergence of the true step back from the normal one against the stride, both axes logarithmic: it rises steeply.",
  });
  chart.line(possible, apart, "c0");
  possible.forEach((one, k) => chart.dot(one, apart[k], "c0", 3));
  const gone = Math.min(stride, t), side = gone < 10 ? "start" : gone < 100 ? "middle" : "end";
  if (misfit >= 1e-9) chart.dot(gone, misfit, "ink", 6);
  else chart.text(gone, 1e-9, "below 10^{-9}", "", side, 0, -8);
  const exponent = Math.floor(Math.log10(misfit));
  const said = misfit >= 5e-4 ? num(misfit, 3) : misfit < 1e-9 ? "less than 10<sup>−9</sup>"
    : `${num(misfit / 10 ** exponent, 1)} · 10<sup>−${-exponent}</sup>`;
  const way =
    stride > t ? `From ${sym("t")} = ${t} a stride of ${stride} stops at the data, ${sym("s")} = 0`
    : `From ${sym("t")} = ${t} to ${sym("s")} = ${s}, as in a chain of ${Math.round(T / stride).toLocaleString("en")} steps`;
  return (
    `${way}: the normal step misses the true one by ${said} nats. ` +
    (misfit > 0.05 ? "It cannot follow the shape." : misfit > 1e-3 ? "The eye still sees the difference." : "The two curves are one.")
  );
}

mount("stride", {
  title: "Why many small steps",
  caption:
    `Shorten the stride. A long step back (solid) leads to one hump or the other, and the normal step with its mean ` +
    `and variance (dashed) ends in between. A short one is normal, and the misfit falls faster than the stride.`,
  controls: {
    stride: slider({label: `stride ${sym("t")} − ${sym("s")}`, spoken: "stride", wide: true, values: STRIDES, start: 200}),
    x: slider({label: sym("x", "t"), spoken: "x t", range: [-2, 2, 0.05], start: -0.1, say: (v) => num(v)}),
    t: slider({label: `step ${sym("t")}`, spoken: "step t", range: [20, 980, 20], start: 200}),
  },
  setup(stage) {
    const [above, below] = [document.createElement("div"), document.createElement("div")];
    stage.append(above, below);
    return {above, below};
  },
  draw,
});
