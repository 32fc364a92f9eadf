// Chapter 6: the denoising terms of the bound over t, and the gap for T, for four variances.
import {EXAMPLE, bound, schedule} from "../mixture.js";
import {key, plot, power} from "../shared/plot.js";
import {choice, mount, num, slider, sym} from "../shared/view.js";

const LENGTHS = [5, 10, 20, 50, 100, 300, 1000];
const DATA = {humps: EXAMPLE, normal: {weights: [1], means: [0.3], variances: [0.25]}};
const LOOKS = {tilde: ["c0", ""], beta: ["c1", "7 4"], best: ["c2", "9 4 2 4"], true: ["c3", "2 4"]};
const LOW = 1e-5;

const known = {};
const found = (data, T) => (known[data + T] ??= bound(DATA[data], schedule("cosine", T), 401));

function draw({T, which, data}, view) {
  const {above, below} = view.made, small = view.width < 420, {denoising, ...ends} = found(data, T);
  const times = Array.from({length: T - 1}, (_, k) => k + 2);
  const powers = {log: true, ticks: [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1], say: power};

  const terms = plot(above, {
    width: view.width,
    height: small ? 200 : 220,
    left: 52,
    x: {range: [2, 1000], log: true, label: "step $t$", ticks: [2, 10, 100, 1000]},
    y: {range: [LOW, 4], label: "term, nats", ...powers},
    describe: "The denoising term of the bound at each step t, both axes logarithmic: it falls with t.",
  });
  const of = (name) => times.map((t) => Math.max(1e-12, denoising[name][t]));
  if (which !== "true") terms.line(times, of("true"), ...LOOKS.true);
  terms.line(times, of(which), ...LOOKS[which]);
  if (T <= 50) times.forEach((t) => terms.dot(t, of(which)[t - 2], LOOKS[which][0], 3));

  const chart = plot(below, {
    width: view.width,
    height: small ? 220 : 240,
    left: 52,
    x: {range: [4.5, 1100], log: true, label: "number of steps $T$", ticks: small ? [5, 20, 100, 1000] : LENGTHS},
    y: {range: [LOW, 3], label: "gap, nats", ...powers},
    describe: "The gap of the bound against the number of steps T, for four variances of the step, both axes logarithmic.",
  });
  for (const [name, [colour, dash]] of Object.entries(LOOKS)) {
    const gaps = LENGTHS.map((n) => Math.max(1e-12, found(data, n).gap[name]));
    chart.line(LENGTHS, gaps, name === which ? `${colour} chosen` : `${colour} other`, dash);
    const here = gaps[LENGTHS.indexOf(T)], late = T > 100;
    if (name !== which) continue;
    if (here > LOW) chart.dot(T, here, colour, 6);
    else chart.text(T, LOW, "no gap", "", late ? "end" : "middle", 0, -8);
  }
  const sum = denoising[which].reduce((all, one) => all + one, 0), gap = Math.max(0, ends.gap[which]);
  const size = gap >= 5e-4 ? num(gap, 4) : gap >= 5e-7 ? num(gap, 6) : 0;
  return (
    `With ${sym("T")} = ${T.toLocaleString("en")} steps the bound lies <strong>${size} nats</strong> below the ` +
    `evidence: that is the gap. The bound is ${num(-ends.reconstruction - sum - ends.prior, 3)}: reconstruction ` +
    `${num(-ends.reconstruction, 3)}, less denoising terms ${num(sum, 3)}, less prior ${num(ends.prior, 3)}.`
  );
}

mount("bound", {
  title: "The terms of the bound, and its gap",
  caption:
    `Make the chain longer, with each of the four variances. There are more and more terms (above, with the true ` +
    `variance dotted), and yet the gap (below) closes: quickly with the true variance, slowly with the best for each ${sym("t")} or ` +
    `${sym("β", "t")}. With ${sym("tilde β", "t")} it stays open up to ${sym("T")} = 1,000.`,
  controls: {
    T: slider({label: `number of steps ${sym("T")}`, spoken: "number of steps T", values: LENGTHS, start: 20, wide: true}),
    data: choice({label: "data", options: {humps: "two humps", normal: "normal"}}),
    which: choice({
      label: "variance of the steps",
      start: "best",
      options: {
        tilde: `${key(...LOOKS.tilde)} ${sym("tilde β", "t")}`,
        beta: `${key(...LOOKS.beta)} ${sym("β", "t")}`,
        best: `${key(...LOOKS.best)} best for each ${sym("t")}`,
        true: `${key(...LOOKS.true)} true`,
      },
    }),
  },
  setup(stage) {
    const [above, below] = [document.createElement("div"), document.createElement("div")];
    stage.append(above, below);
    return {above, below};
  },
  draw,
});
