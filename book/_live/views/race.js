// Chapter 11: three samplers from one noise, with 5, 10 and 20 evaluations, all on one clock.
import {model} from "../engine/model.js";
import {normal} from "../engine/noise.js";
import {paint, picture, PIXELS} from "../shared/pictures.js";
import {calm} from "../shared/player.js";
import {stepper} from "../shared/steps.js";
import {box, choice, mount, num, slider, sym} from "../shared/view.js";

const NAMES = {ddpm: "DDPM", ddim: "DDIM", "dpm++": "DPM-Solver++"};
const NUMBERS = [5, 10, 20]; // of evaluations; the last is a multiple of the others
const TICKS = NUMBERS.at(-1);
const T = 1000;
const LANES = NUMBERS.flatMap((steps) => Object.keys(NAMES).map((sampler) => ({steps, sampler})));
const HAT = "<var>x̂</var><sub>0</sub>";

mount("race", {
  title: "Samplers race from one noise",
  caption:
    `Nine pictures start from the same noise, in rows of 5, 10 and 20 evaluations. ${sym("t")} falls for all at one pace, ` +
    `and each picture moves when a step of its own is done. Look along a row: do DDIM and DPM-Solver++ come to the same ` +
    `digit, and does DDPM, with its fresh noise? Look down the columns: which of them keep their digit? Then take ` +
    `other noise.`,
  controls: {
    shown: choice({label: "Shown", options: {x_t: sym("x", "t"), x0_hat: `${HAT}, the guess`}}),
    seed: slider({label: "Noise that all start from", range: [1, 50, 1], start: 1, say: (k) => `no. ${k}`, wide: true}),
  },
  setup,
  draw,
});

/** At a tick of the clock, how many steps of `steps` have been taken. */
const taken = (steps, tick) => Math.floor((tick * steps) / TICKS);

/** A function of which each call brings the next tick: the nine pictures, of which some have moved. */
function race({place, values}) {
  const settings = {guidance: 0, seed: values.seed};
  const drawer = model(place.dataset.model ?? "mnist-labels"); // it is told no label
  const nexts = LANES.map((lane) => drawer.begin({...lane, ...settings}));
  let tick = -1;
  let lanes = [];
  return async () => {
    tick++;
    const moves = ({steps}) => tick === 0 || taken(steps, tick) > taken(steps, tick - 1);
    lanes = await Promise.all(LANES.map((lane, k) => (moves(lane) ? nexts[k]() : lanes[k])));
    return lanes;
  };
}

function setup(stage, view) {
  const {place} = view;
  const steps = stepper(view, {
    last: () => TICKS,
    begin: () => race(view),
    say: (tick) => `t = ${T - (tick * T) / TICKS}`,
  });
  const cells = LANES.map(() => picture());
  const head = Object.values(NAMES).map((name) => `<th scope="col">${name}</th>`);
  const table = box("table", "race");
  table.innerHTML = `<thead><tr><td></td>${head.join("")}</tr></thead><tbody></tbody>`;
  NUMBERS.forEach((number, k) => {
    const row = box("tr", "", box("th", "", `${number}`));
    row.firstChild.scope = "row";
    row.append(...cells.slice(3 * k, 3 * k + 3).map(({element}) => box("td", "", element)));
    table.lastChild.append(row);
  });
  stage.append(table, steps.element);
  const reset = [...place.querySelectorAll(".buttons button")].at(-1);
  reset.addEventListener("click", () => {
    steps.forget();
    Object.assign(steps, {used: false, asked: undefined});
  });
  return Object.assign(steps, {cells});
}

function draw(values, view) {
  const {made} = view;
  if (made.asked && made.asked !== values.seed) {
    made.forget();
    made.run(made.used);
  }
  made.asked = values.seed;
  const here = made.look();
  if (!(made.moves && calm())) show(values, made.cells, here);
  if (made.failed) return `This browser cannot draw here: ${made.failed}.`;
  if (!here) return made.waiting ? "The model is coming …" : "Press Play, and the model, 4 MB, comes into the page.";
  return made.at < TICKS ? during(made.at) : done(made.path);
}

function show({seed, shown}, cells, here) {
  const noise = normal(seed, PIXELS)();
  cells.forEach(({canvas, say}, k) => {
    const {steps, sampler} = LANES[k];
    const step = here?.[k];
    paint(canvas, step ? step[shown] : shown === "x_t" ? noise : undefined);
    const what = !step ? "still to start" : step.t ? `at t = ${step.t}` : "done";
    say(`${NAMES[sampler]} with ${steps} evaluations: ${what}`);
  });
}

function during(tick) {
  const [few, some, many] = NUMBERS.map((steps) => `${taken(steps, tick)} of ${steps}`);
  return `At ${sym("t")} = ${T - (tick * T) / TICKS} the rows have taken ${few}, ${some} and ${many} steps.`;
}

// How far two pictures are from each other: root mean square, in grey levels.
function apart(a, b) {
  return 127.5 * Math.sqrt(a.reduce((sum, value, k) => sum + (value - b[k]) ** 2, 0) / PIXELS);
}

function done(path) {
  const ends = path.at(-1);
  const from = (place) => NUMBERS.map((_, row) => num(apart(ends[3 * row + 1].x_t, ends[3 * row + place].x_t), 0));
  const list = ([few, some, many]) => `${few}, ${some} and ${many}`;
  return (
    `With 5, 10 and 20 evaluations the picture of DPM-Solver++ is ${list(from(2))} grey levels a pixel away from that of ` +
    `DDIM (root mean square), and that of DDPM ${list(from(0))}.`
  );
}
