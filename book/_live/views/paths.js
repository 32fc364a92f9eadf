// Chapters 11 and 16: four samplers race from one x_T, beside the exact path of the probability flow.
import {EXAMPLE, density, marginal, normals, quantile, schedule, shareBelow, strides, walk} from "../mixture.js";
import {grid, key, plot} from "../shared/plot.js";
import {choice, mount, num, slider, sym} from "../shared/view.js";

const T = 1000, TIMES = grid(0, T, 101), ROWS = grid(-2.5, 2.5, 121);
const LOOKS = {ddpm: ["c3", "2 4"], ddim: ["c1", "8 4"], "dpm++": ["c0", ""], heun: ["c2", "9 4 2 4"]};
const NAMES = {ddpm: "ancestral", ddim: "DDIM", "dpm++": "DPM-Solver++", heun: "Heun"};

/** The exact path: at each t, the point with as much of the marginal below it as x has at T. */
function flow(data, chain, x) {
  const at = (t) => marginal(data, chain.alphaBar[Math.round(t)]);
  const share = shareBelow(at(T), x);
  return TIMES.map((t) => quantile(at(t), share));
}

function draw(values, view) {
  const {x, steps, seed} = values, {race, table, data, samplers, chains, shades} = view.made;
  const chain = (chains[values.schedule] ??= schedule(values.schedule, T)), small = view.width < 420;
  const picture = plot(race, {
    width: view.width,
    height: small ? 300 : 360,
    x: {range: [T, 0], label: "step $t$", ticks: [1000, 750, 500, 250, 0]},
    y: {range: [-2.5, 2.5], label: "x_t", ticks: [-2, -1, 0, 1, 2]},
    describe: "Paths from noise at t = 1000, on the left, to data at t = 0: the exact one and those of the samplers.",
  });
  // The map does not change with the rest.
  shades[values.schedule] ??= TIMES.map((t) => {
    const here = marginal(data, chain.alphaBar[Math.round(t)]);
    return ROWS.map((v) => Math.sqrt(density(here, v)) / 2.8);
  }).reverse();
  picture.shades(shades[values.schedule]);
  for (const start of [-2, -1.2, -0.6, 0, 0.6, 1.2, 2]) picture.line(TIMES, flow(data, chain, start), "faint thin");
  const exact = flow(data, chain, x), end = exact[0];
  picture.line(TIMES, exact, "ink broad");

  const rows = [
    `<tr><th scope="row">${key("ink broad")} exact</th><td>–</td><td>${num(end, 3)}</td><td>–</td></tr>`,
  ], ends = {};
  for (const name of samplers) {
    const [colour, dash] = LOOKS[name];
    const path = walk(data, chain, name, strides(T, steps), x, normals(seed));
    const [times, states] = [path.map(([t]) => t), path.map(([, v]) => v)];
    picture.line(times, states, colour, dash);
    if (steps <= 30) path.forEach(([t, v]) => picture.dot(t, v, colour, 3));
    ends[name] = states.at(-1);
    const looks = name === "heun" ? 2 * steps - 1 : steps;
    const off = name === "ddpm" ? "–" : num(Math.abs(ends[name] - end), 3);
    rows.push(
      `<tr><th scope="row">${key(colour, dash)} ${NAMES[name]}</th><td>${looks}</td><td>${num(ends[name], 3)}</td><td>${off}</td></tr>`,
    );
  }
  picture.handle(T, x, "ink", (_, v) => view.set("x", Math.max(-2, Math.min(2, v))));
  table.innerHTML =
    `<thead><tr><th scope="col">sampler</th><th scope="col">guesses</th><th scope="col">${sym("x", "0")}</th>` +
    `<th scope="col">error</th></tr></thead><tbody>${rows.join("")}</tbody>`;
  const misses = samplers.filter((name) => name !== "ddpm").map((name) => `${NAMES[name]} by ${num(Math.abs(ends[name] - end), 3)}`);
  return (
    `From ${sym("x", "T")} = ${num(x)} the exact path ends at ${num(end, 3)}. With ${steps} step${steps > 1 ? "s" : ""} ` +
    `the samplers miss it: ${misses.join(", ")}.`
  );
}

mount("paths", {
  title: "Samplers race from one start",
  caption:
    `Drag the start ${sym("x", "T")} on the left edge, and change the number of steps. Without fresh noise the samplers ` +
    "try to follow the exact path (broad), and with few steps they cut its bends. Ancestral sampling follows none: " +
    "with other noise it ends elsewhere.",
  controls: {
    steps: slider({label: "steps", values: [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100], start: 5, wide: true}),
    x: slider({label: sym("x", "T"), spoken: "x T", range: [-2, 2, 0.05], start: -0.6, say: (v) => num(v)}),
    seed: slider({label: "draw of the noise", range: [1, 20, 1], start: 1}),
    schedule: choice({label: "schedule", options: {cosine: "cosine", linear: "linear", straight: "straight"}}),
  },
  // A chapter may ask for some of the samplers only, and for wider humps: data-samplers, data-variances.
  setup(stage, {place}) {
    const [race, table] = [document.createElement("div"), document.createElement("table")];
    stage.append(race, table);
    const {samplers = Object.keys(LOOKS).join(" "), variances = EXAMPLE.variances.join(" ")} = place.dataset;
    const data = {...EXAMPLE, variances: variances.split(" ").map(Number)};
    return {race, table, data, samplers: samplers.split(" "), chains: {}, shades: {}};
  },
  draw,
});
