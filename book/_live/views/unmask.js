// Chapter 19: two pixels that belong together, unmasked in T steps.
import {plot, power} from "../shared/plot.js";
import {choice, mount, num, slider, sym} from "../shared/view.js";
import {unmasked} from "../pixels.js";

const LENGTHS = [1, 2, 4, 8, 16, 32, 64];
const PAIRS = ["black, black", "black, white", "white, black", "white, white"];

/** Two squares, as the pair looks. */
const pixels = (k) =>
  `<span class="pixels" role="img" aria-label="${PAIRS[k]}">` +
  [k >> 1, k & 1].map((white) => `<i class="${white ? "white" : "black"}"></i>`).join("") +
  "</span>";

function draw({T, equal, even}, view) {
  const {table, chart} = view.made, small = view.width < 420, share = equal / 100;
  const {joint, drawn, together} = unmasked(share, T, even);
  const bar = (p, className) => `<span class="share ${className}" style="--part: ${num(100 * p, 1)}%"></span>${num(p, 3)}`;
  table.innerHTML =
    '<thead><tr><th scope="col">pair</th><th scope="col">data</th><th scope="col">samples</th></tr></thead><tbody>' +
    joint
      .map((p, k) => `<tr><th scope="row">${pixels(k)}</th><td>${bar(p, "c0")}</td><td>${bar(drawn[k], "c1")}</td></tr>`)
      .join("") +
    "</tbody>";

  const found = LENGTHS.map((n) => unmasked(share, n, even)), low = 1e-6;
  const losses = plot(chart, {
    width: view.width,
    height: small ? 220 : 240,
    left: 52,
    x: {range: [0.9, 72], log: true, label: "steps $T$", ticks: LENGTHS},
    y: {range: [low, 1], log: true, label: "nats", ticks: [1e-6, 1e-4, 1e-2, 1], say: power},
    describe: "The gap of the bound and what the samples really lose, against the number of steps, both axes logarithmic.",
  });
  const gaps = found.map(({gap}) => Math.max(1e-12, gap)), lost = found.map(({divergence}) => Math.max(1e-12, divergence));
  losses.line(LENGTHS, gaps, "c0");
  losses.line(LENGTHS, lost, "c1", "7 4");
  const k = LENGTHS.indexOf(T);
  losses.dot(T, gaps[k], "c0", 6);
  losses.dot(T, lost[k], "c1", 6);
  if (gaps[3] > 10 * low) losses.text(8, gaps[3], "gap of the bound", "", "start", 6, -8);
  if (lost[3] > 10 * low) losses.text(8, lost[3], "loss of the samples", "", "end", -6, 18);
  if (gaps[0] < low) losses.text(8, 1e-3, "no loss: each by itself is right", "", "middle");
  const same = drawn[0] + drawn[3];
  return (
    `In ${T} step${T > 1 ? "s" : ""} both pixels come at once on ${num(100 * together, together < 0.1 ? 1 : 0)}% of the paths, and then ` +
    `neither knows of the other. The pixels of the data are equal in ${num(share, 2)} of the cases, those of the ` +
    `samples in ${num(same, 3)}.`
  );
}

mount("unmask", {
  title: "Two pixels, unmasked",
  caption:
    `Take more steps, and make the pixels more alike. With one step each pixel is drawn by itself, and only its own ` +
    `share of white is right. Every doubling of ${sym("T")} about halves the gap of the bound (solid), and what the samples ` +
    "lose (dashed) falls twice as steeply.",
  controls: {
    T: slider({label: `steps ${sym("T")}`, spoken: "steps T", values: LENGTHS, start: 4, wide: true}),
    equal: slider({label: "both pixels equal", range: [52, 98, 2], start: 80, say: (v) => `${v}%`, wide: true}),
    even: choice({label: "schedule", options: {even: "even", cosine: "cosine"}}),
  },
  setup(stage) {
    const [table, chart] = [document.createElement("table"), document.createElement("div")];
    stage.append(table, chart);
    return {table, chart};
  },
  draw,
});
