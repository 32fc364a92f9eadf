// The reader draws the upper half of a digit, and the model the rest, several times.
import {model} from "../engine/model.js";
import {paint, picture} from "../shared/pictures.js";
import {calm, player} from "../shared/player.js";
import {inked, pen} from "../shared/strokes.js";
import {box, choice, mount} from "../shared/view.js";

const HALF = 14; // lines of pixels that are the reader's
const ANSWERS = 6;
// Beginnings for those who do not draw with a pointer.
const BEGINNINGS = {
  arc: [[[9, 7], [11, 5], [15, 4], [18, 6], [18, 10], [15, 14]]],
  bar: [[[7, 6], [20, 6], [16, 14]]],
  ring: [[[14, 4], [10, 7], [10, 10], [14, 12], [18, 10], [18, 7], [14, 4]]],
  forks: [[[9, 5], [8, 13]], [[19, 5], [18, 14]]],
  angle: [[[19, 6], [11, 6], [10, 12], [15, 11]]],
  own: [],
};
const NAMES = {arc: "arc", bar: "bar", ring: "ring", forks: "two strokes", angle: "angle", own: "your own"};
// Steps, and how often each is taken.
const METHODS = {once: {steps: 50}, again: {steps: 20, times: 5}};

mount("complete", {
  title: "You draw a part, the model draws the rest",
  caption:
    `Draw with a finger or the mouse in the upper half of the first picture, or choose a beginning. The model is ` +
    `told no digit: it continues what it is given, each time from other noise. It runs in this page.`,
  controls: {
    begin: choice({label: "Beginning", options: NAMES, start: "arc"}),
    method: choice({label: "Replacement, each step taken", options: {once: "once", again: "five times"}, start: "once"}),
  },
  setup,
  draw,
});

// What belongs to one set of answers: the last step of each answer so far.
function beginning() {
  return {answers: [], next: undefined, waiting: false, over: false, failed: ""};
}

function setup(stage, view) {
  const {place} = view;
  const question = picture("given");
  const answers = Array.from({length: ANSWERS}, (_, k) => picture(`${k + 1}`));
  const made = {question, cells: answers, strokes: [], round: 0, used: false, ...beginning()};
  const {button, run} = player(place, () => go(view));
  const table = box("div", "answers", ...answers.map(({element}) => element));
  const [begin, method] = place.querySelectorAll(".choice");
  stage.append(begin, box("div", "pair", question.element, table), box("div", "transport", button, method));
  pen(question.canvas, {
    begun(stroke) {
      if (view.values.begin !== "own") made.strokes = [];
      made.strokes.push(stroke);
      made.drawing = true;
      view.set("begin", "own");
    },
    drawn: view.redraw,
    done() {
      made.drawing = false;
      made.used = true; // and the model answers
      view.redraw();
    },
  });
  const reset = [...place.querySelectorAll(".buttons button")].at(-1);
  reset.addEventListener("click", () => {
    forget(made);
    Object.assign(made, {strokes: [], round: 0, used: false, asked: undefined});
  });
  return Object.assign(made, {run});
}

function forget(made) {
  made.run(false);
  Object.assign(made, beginning());
}

function strokesOf({begin}, {strokes}) {
  return begin === "own" ? strokes : BEGINNINGS[begin];
}

// One frame: the next step of the answer that forms, when it has come.
function go(view) {
  const {made, values} = view;
  if (made.over) {
    const round = made.round + 1; // asked for more
    Object.assign(made, beginning(), {round});
  }
  Object.assign(made, {used: true, answered: true});
  made.failed = "";
  if (!strokesOf(values, made).length) return false;
  if (!made.waiting) ask(view);
  view.redraw();
  return true;
}

async function ask({made, values, place, redraw}) {
  made.waiting = true;
  const {answers} = made;
  if (!answers.length || answers.at(-1).t === 0) answers.push({t: undefined});
  const seed = 1 + made.round * ANSWERS + answers.length;
  const known = inked(strokesOf(values, made), HALF);
  const settings = {guidance: 0, sampler: "ddpm", seed, known, ...METHODS[values.method]};
  const next = (made.next ??= model(place.dataset.model ?? "mnist-labels").begin(settings));
  try {
    const step = await next();
    if (next !== made.next) return; // something else is asked
    answers[answers.length - 1] = step;
    made.waiting = false;
    redraw();
    if (step.t > 0) return;
    made.next = undefined;
    made.over = answers.length === ANSWERS;
    if (made.over) made.run(false);
  } catch (error) {
    if (next !== made.next) return;
    forget(made);
    made.failed = error.message;
    redraw();
  }
}

function draw(values, view) {
  const {made} = view;
  const strokes = strokesOf(values, made);
  const asked = JSON.stringify([values, strokes]);
  if (made.asked && made.asked !== asked) {
    forget(made);
    Object.assign(made, {round: 0, answered: false});
  }
  made.asked = asked;
  if (made.used && !made.answered && !made.drawing) {
    made.answered = true;
    made.run(true);
  }
  show(values, made, inked(strokes, HALF));
  if (made.failed) return `This browser cannot draw here: ${made.failed}.`;
  if (!strokes.length) return "Draw something in the upper half first.";
  if (made.over) {
    return (
      `Six answers to one question, each from noise of its own. They share the upper half, and differ where ` +
      `nothing was said. Press Play for six more.`
    );
  }
  if (!made.answers.length) return "Press Play, and the model, 4 MB, comes into the page and answers.";
  if (made.answers[0].t === undefined) return "The model is coming …";
  return `Answer ${made.answers.length} of ${ANSWERS} forms: what is seen is the guess at each step.`;
}

function show({begin}, {question, cells, answers}, given) {
  paint(question.canvas, given);
  question.say(`The upper half: ${NAMES[begin]}; the lower half is open`);
  cells.forEach(({canvas, say}, k) => {
    const answer = answers[k];
    const seen = answer?.x0_hat && !(calm() && answer.t);
    paint(canvas, seen ? answer.x0_hat : undefined);
    say(`Answer ${k + 1}: ${!seen ? "still empty" : answer.t ? "it forms" : "done"}`);
  });
}
