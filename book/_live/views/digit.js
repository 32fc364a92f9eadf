// A digit forms: the shipped model draws, step by step, x_t beside x_0_hat.
import {model} from "../engine/model.js";
import {normal} from "../engine/noise.js";
import {paint, PIXELS, picture} from "../shared/pictures.js";
import {calm, player} from "../shared/player.js";
import {box, choice, mount, num, slider, sym} from "../shared/view.js";

const STEPS = [1, 2, 3, 5, 10, 20, 50, 100, 200];
const NAMES = {ddpm: "DDPM", ddim: "DDIM", "dpm++": "DPM-Solver++", heun: "Heun"};
const KEPT = 12; // digits drawn before, to compare with
const HAT = "<var>x̂</var><sub>0</sub>";

mount("digit", {
  title: "A digit forms",
  caption:
    `On the left ${sym("x", "t")}, which starts as pure noise; on the right ${HAT}, the network’s guess at the ` +
    `digit in it. The network is one that ships with the book. It runs in this page, and nothing you do leaves it.`,
  controls: {
    digit: choice({label: "Digit", options: [..."0123456789"], start: "7"}),
    sampler: choice({label: "Sampler", options: NAMES, start: "ddim"}),
    guidance: slider({
      label: "Guidance <var>w</var>", spoken: "Guidance w", range: [0, 6, 0.5], start: 1, say: (w) => num(w, 1),
    }),
    steps: slider({label: "Steps", values: STEPS, start: 20}),
    seed: slider({label: "Noise that it starts from", range: [1, 50, 1], start: 1, say: (k) => `no. ${k}`}),
  },
  setup,
  draw,
});

// What belongs to one digit. `path` holds its steps so far; it is seen `at` one of them, on its way to
// `goal`, the last if there is none. While `at` is -1 there is noise, and nothing was guessed.
function beginning() {
  return {path: [], at: -1, goal: undefined, next: undefined, waiting: false, failed: ""};
}

function setup(stage, view) {
  const {place} = view;
  const made = {kept: [], used: false, ...beginning()};
  const {button, run} = player(place, () => go(view));
  const x_t = picture();
  const x0_hat = picture(`${HAT}, the guess`);
  const pair = box("div", "pair", x_t.element, x0_hat.element);

  const start = box("button", "start");
  start.type = "button";
  start.addEventListener("click", () => {
    run(true);
    button.focus(); // this one goes
  });
  x0_hat.frame.append(start);

  const say = (k) => `${k} of ${view.values.steps}`;
  const scrub = slider({label: "Step", range: [0, 1, 1], start: 0, say})(0, () => {
    made.goal = scrub.value();
    made.at = Math.min(made.goal, made.path.length - 1);
    run(made.at < made.goal); // on to a step that is still to come
    view.redraw();
  });
  stage.append(place.querySelector(".choice"), pair, box("div", "transport", button, scrub.element));

  const gallery = box("ul", "gallery");
  gallery.setAttribute("aria-label", "Drawn before, the last one first");
  place.append(gallery);
  const reset = [...place.querySelectorAll(".buttons button")].at(-1);
  reset.addEventListener("click", () => {
    forget(made);
    Object.assign(made, {kept: [], used: false, asked: undefined});
    gallery.replaceChildren();
  });
  return Object.assign(made, {x_t, x0_hat, start, scrub, gallery, run});
}

function forget(made) {
  made.run(false);
  Object.assign(made, beginning());
}

// One frame: a step further, if it has come and the one before was seen long enough.
function go(view) {
  const {made, values} = view;
  const last = values.steps;
  made.used = true;
  made.failed = "";
  const now = performance.now();
  if (made.at === (made.goal ?? last)) {
    made.goal = last; // asked for more at its end, it goes on, or once again from the noise
    if (made.at === last) Object.assign(made, {at: 0, shown: now});
  }
  const long = calm() ? 0 : Math.min(400, Math.max(20, 2000 / last));
  if (made.at + 1 >= made.path.length) ask(view);
  else if (!(now - made.shown < long)) {
    made.at++;
    made.shown = now;
  }
  view.redraw();
  return made.at !== (made.goal ?? last);
}

// The next step from the model, unless it is on its way.
async function ask({made, values, place, redraw}) {
  if (made.waiting) return;
  made.waiting = true;
  const {digit, guidance, sampler, steps, seed} = values;
  const settings = {label: Number(digit), guidance, sampler, steps, seed};
  const next = (made.next ??= model(place.dataset.model ?? "mnist-labels").begin(settings));
  try {
    const step = await next();
    if (next !== made.next) return; // another digit has begun
    made.path.push(step);
    made.waiting = false;
  } catch (error) {
    if (next !== made.next) return;
    forget(made);
    made.failed = error.message;
    redraw();
  }
}

function draw(values, view) {
  const {made} = view;
  const asked = JSON.stringify(values);
  if (made.asked && made.asked !== asked) {
    const other = JSON.parse(made.asked).digit !== values.digit;
    forget(made);
    made.run(made.used || other);
  }
  made.asked = asked;
  made.scrub.element.querySelector("input").max = values.steps;
  made.scrub.set(Math.max(0, made.at));
  made.start.hidden = made.at >= 0 || made.waiting;
  made.start.textContent = `Draw a ${values.digit}`;
  const here = made.path[made.at];
  const moves = here && made.at !== (made.goal ?? values.steps);
  if (!(moves && calm())) show(values, made, here);
  if (made.failed) return `This browser cannot draw here: ${made.failed}.`;
  if (!here) return made.waiting ? "The model is coming …" : idle(values);
  if (here.t) return during(values, made, here);
  keep(values, made);
  return done(values, made);
}

function show({digit, seed}, {x_t, x0_hat}, here) {
  paint(x_t.canvas, here?.x_t ?? normal(seed, PIXELS)());
  paint(x0_hat.canvas, here?.x0_hat);
  const t = here ? here.t : "T";
  x_t.name.innerHTML = `${sym("x", "t")} at ${sym("t")} = ${here ? t : sym("T")}`;
  x_t.say(t ? `x_t at t = ${t}: a ${digit} under noise` : `A ${digit}, done`);
  x0_hat.say(here ? `What the network guesses at t = ${t}` : "Still empty");
}

function idle({steps, sampler}) {
  return `The model, 4 MB, comes into the page when you draw. ${NAMES[sampler]} will take ${count(steps, "step")}.`;
}

function during({steps}, {at}, {t, alpha_bar}) {
  return (
    `At ${sym("t")} = ${t}, after ${at} of ${count(steps, "step")}, ${sym("x", "t")} is ` +
    `${num(Math.sqrt(alpha_bar))} times a digit plus ${num(Math.sqrt(1 - alpha_bar))} times noise, and ` +
    `${HAT} is the network’s guess at the digit.`
  );
}

function done({digit, guidance, sampler, steps}, {path}) {
  const looks = (sampler === "heun" ? 2 * steps - 1 : steps) * (guidance ? 2 : 1);
  const seconds = path.reduce((sum, {milliseconds}) => sum + milliseconds, 0) / 1000;
  return (
    `A digit that nobody wrote, meant to be a ${digit}. In ${count(steps, "step")} the network looked at ` +
    `${count(looks, "picture")}, which took ${num(seconds, 1)} s here. Move the step to see how it formed.`
  );
}

function count(n, word) {
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}

// What is done stands in a row with those before, to compare.
function keep({digit, guidance, sampler, steps}, {asked, kept, path, gallery}) {
  if (kept.includes(asked)) return;
  const words = `<var>w</var> = ${num(guidance, 1)}<br>${NAMES[sampler]}, ${steps}`;
  const {element, canvas, say} = picture(words);
  paint(canvas, path.at(-1).x_t);
  say(`A ${digit}`);
  gallery.prepend(box("li", "", element));
  kept.unshift(asked);
  if (kept.length > KEPT) {
    kept.pop();
    gallery.lastChild.remove();
  }
}
