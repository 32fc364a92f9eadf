// Chapter 4: five schedules side by side at one t.
import {EXAMPLE, density, marginal, schedule} from "../mixture.js";
import {grid, key, plot} from "../shared/plot.js";
import {mount, num, percent, slider, sym} from "../shared/view.js";

const T = 1000, TIMES = grid(1, T, 334).map(Math.round), XS = grid(-2.5, 2.5, 301);
const LEAST = -12; // where the picture ends; in the very last steps some fall to −20
const LOOKS = {
  linear: ["c1", "8 4"],
  cosine: ["c0", ""],
  sigmoid: ["c2", "2 4"],
  "log-snr": ["c3", "9 4 2 4"],
  straight: ["ink", "4 3"],
};
const CHAINS = Object.fromEntries(Object.keys(LOOKS).map((name) => [name, schedule(name, T)]));

function draw({t}, view) {
  const {curves, humps, table} = view.made, small = view.width < 420;
  const ratios = plot(curves, {
    width: view.width,
    height: small ? 200 : 250,
    x: {range: [0, T], label: "step $t$", ticks: small ? [0, 250, 500, 750, 1000] : undefined},
    y: {range: [LEAST, 14.5], label: "ln SNR", ticks: [-10, -5, 0, 5, 10]},
    describe: "The logarithm of the signal-to-noise ratio against t for five schedules: all fall, at different places.",
  });
  ratios.follow((time) => view.set("t", Math.max(1, Math.min(T, time))));
  ratios.level(0, "faint thin", "2 4");
  ratios.upright(t, "faint", "6 3");
  const all = Object.values(CHAINS).map(({alphaBar}) => marginal(EXAMPLE, alphaBar[t]));
  const most = Math.max(1, ...all.flatMap((here) => XS.map((x) => density(here, x))));
  const shapes = plot(humps, {
    width: view.width,
    height: small ? 160 : 200,
    x: {range: [-2.5, 2.5], label: "x_t", ticks: [-2, -1, 0, 1, 2]},
    y: {range: [0, 1.08 * most], label: "$q$(x_t)"},
    describe: "The density of x_t of the running example at this step, once for each schedule.",
  });
  const rows = [];
  for (const [name, [colour, dash]] of Object.entries(LOOKS)) {
    const {alphaBar, snr} = CHAINS[name], log = Math.log(snr[t]), here = marginal(EXAMPLE, alphaBar[t]);
    ratios.line(TIMES, TIMES.map((time) => Math.log(snr[time])), colour, dash);
    ratios.dot(t, Math.max(LEAST, log), colour, 5);
    shapes.line(XS, XS.map((x) => density(here, x)), colour, dash);
    rows.push(
      `<tr><th scope="row">${key(colour, dash)} ${name.replace("snr", "SNR")}</th><td>${percent(alphaBar[t])}</td>` +
        `<td>${num(log, 1)}</td></tr>`,
    );
  }
  const lower = Object.keys(LOOKS).filter((name) => Math.log(CHAINS[name].snr[t]) < LEAST);
  if (lower.length) ratios.text(t, LEAST, `${lower.join(", ")}: lower`, "", "end", -10, -6);
  table.innerHTML =
    `<thead><tr><th scope="col">schedule</th><th scope="col">${sym("bar α", "t")}</th>` +
    `<th scope="col">ln SNR</th></tr></thead><tbody>${rows.join("")}</tbody>`;
  const cosine = CHAINS.cosine.snr, later = cosine.findIndex((ratio) => ratio <= CHAINS.linear.snr[t]);
  return (
    `At ${sym("t")} = ${t} the linear schedule has kept ${percent(CHAINS.linear.alphaBar[t])} of the variance ` +
    `for the data. The cosine comes down to that at ${sym("t")} = ${later}.`
  );
}

mount("schedules", {
  title: "Schedules side by side",
  caption:
    `Move ${sym("t")} and watch where each schedule has come to. The linear one loses the two humps first, and spends ` +
    `the second half of its steps on what is nearly noise. The log-SNR falls evenly: a straight line above.`,
  controls: {t: slider({label: `step ${sym("t")}`, spoken: "step t", wide: true, range: [1, T, 1], start: 150})},
  setup(stage) {
    const [curves, humps] = [document.createElement("div"), document.createElement("div")];
    const table = document.createElement("table");
    stage.append(curves, humps, table);
    return {curves, humps, table};
  },
  draw,
});
