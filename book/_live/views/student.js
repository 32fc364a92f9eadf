// Chapter 18: the student draws ten digits, one look each, beside what its teacher makes of the same noise.
import {model} from "../engine/model.js";
import {normal} from "../engine/noise.js";
import {paint, picture, PIXELS} from "../shared/pictures.js";
import {calm, player} from "../shared/player.js";
import {box, choice, mount, num, slider} from "../shared/view.js";

const DIGITS = [..."0123456789"].map(Number);
const SEEDS = 50;
// Who may stand beside the student.
const TEACHERS = {none: undefined, one: 1, twenty: 20};
const NAMES = {none: "nobody", one: "the teacher, 1 look", twenty: "the teacher, 20 looks"};

mount("student", {
  title: "Ten digits at one look each",
  caption:
    `Press Draw, as often as you like: each time the student makes ten digits of one new noise. Do they look as if one ` +
    `hand had written them? Then put the teacher beside it. At one look it can only give a grey mean of each digit, ` +
    `nearly the same for all noise. At twenty it draws digits too; compare them with the student’s, one by one.`,
  controls: {
    seed: slider({label: "The noise of all ten", range: [1, SEEDS, 1], start: 1, say: (k) => `no. ${k}`}),
    beside: choice({label: "Beside the student", options: NAMES, start: "none"}),
  },
  setup,
  draw,
});

// What belongs to one sheet of ten: the last step of each digit, and where the next ones come from.
function beginning() {
  return {seen: [], nexts: undefined, waiting: false, spent: 0};
}

const isDone = ({seen}) => seen[0]?.t === 0;

function setup(stage, view) {
  const {place} = view;
  const {run} = player(place, () => go(view));
  const sheets = [sheet("mnist-one-step", "student"), sheet("mnist-labels", "teacher")];
  const made = {run, sheets, used: false, failed: ""};
  const button = box("button", "", "Draw");
  button.type = "button";
  button.addEventListener("click", () => {
    made.used = true;
    made.asked = ""; // so that it draws
    const {seed} = view.values;
    view.set("seed", sheets[0].nexts ? (seed % SEEDS) + 1 : seed);
  });
  stage.append(box("div", "transport", button, place.querySelector(".control:not(.choice)")));
  stage.append(...sheets.map(({element}) => element));
  const reset = [...place.querySelectorAll(".buttons button")].at(-1);
  reset.addEventListener("click", () => {
    run(false);
    sheets.forEach(forget);
    Object.assign(made, {used: false, failed: ""});
  });
  return made;
}

function sheet(drawer, who) {
  const cells = DIGITS.map(() => picture());
  const name = box("p", "");
  const element = box("div", "ten", name, ...cells.map(({element}) => element));
  return {drawer, who, cells, name, element, ...beginning()};
}

function forget(one) {
  Object.assign(one, beginning());
}

/** The sheets that are wanted, the student's first, with how many looks each takes. */
function wanted({beside}, {sheets: [student, teacher]}) {
  const looks = TEACHERS[beside];
  return [[student, 1], ...(looks ? [[teacher, looks]] : [])];
}

// One frame: the next step of all ten digits of a sheet, when the one before has come.
function go(view) {
  const next = wanted(view.values, view.made).find(([one]) => !isDone(one));
  if (!next) return false;
  if (!next[0].waiting) ask(view, ...next);
  return true;
}

async function ask({made, values, redraw}, one, steps) {
  const settings = {guidance: 0, sampler: "ddim", steps, seed: values.seed};
  const nexts = (one.nexts ??= DIGITS.map((label) => model(one.drawer).begin({label, ...settings})));
  one.waiting = true;
  redraw();
  try {
    const seen = await Promise.all(nexts.map((next) => next()));
    if (nexts !== one.nexts) return; // another sheet has begun
    const spent = seen.reduce((sum, {milliseconds}) => sum + milliseconds, one.spent);
    Object.assign(one, {seen, spent, waiting: false});
  } catch (error) {
    if (nexts !== one.nexts) return;
    forget(one);
    made.run(false);
    made.failed = error.message;
  }
  redraw();
}

function draw(values, view) {
  const {made} = view;
  const [student, teacher] = made.sheets;
  const asked = JSON.stringify(values);
  if (made.asked !== undefined && made.asked !== asked) {
    const before = made.asked && JSON.parse(made.asked);
    if (before.seed !== values.seed) forget(student);
    forget(teacher);
    made.failed = "";
    made.run(made.used);
  }
  made.asked = asked;
  made.sheets.forEach((one) => show(values, one));
  if (made.failed) return `This browser cannot draw here: ${made.failed}.`;
  return wanted(values, made).map(([one, looks]) => said(values, one, looks)).join(" ");
}

function show({seed, beside}, {who, name, cells, element, seen}) {
  const looks = who === "student" ? 1 : TEACHERS[beside];
  element.hidden = !looks;
  name.textContent = `The ${who}, ${count(looks, "look")}`;
  const noise = normal(seed, PIXELS)();
  cells.forEach(({canvas, say}, digit) => {
    const step = seen[digit];
    const shown = step && !(calm() && step.t);
    paint(canvas, shown ? step.x_t : noise);
    say(!shown ? "Noise" : step.t ? `A ${digit} under noise` : `A ${digit}, by the ${who} at ${count(looks, "look")}`);
  });
}

function said({seed}, one, looks) {
  const {who, nexts, seen, spent} = one;
  if (!nexts) return `The ${who}, 4 MB, comes into the page when you draw.`;
  if (!seen.length) return `The ${who} is coming …`;
  if (!isDone(one)) return `The ${who} draws.`;
  const seconds = `which took ${num(spent / 1000, 1)} s here`;
  if (who === "student") return `Ten digits that nobody wrote, drawn at one look each from noise no. ${seed}, ${seconds}.`;
  if (looks === 1) return "The teacher looked once as well, and gives little more than the mean of each digit.";
  return `The teacher looked ${looks} times for each digit, ${seconds}.`;
}

function count(n, word) {
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}
