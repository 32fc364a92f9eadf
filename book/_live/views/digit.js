// A digit forms: the shipped model draws, step by step, x_t beside x_0_hat.
import {model} from "../engine/model.js";
import {normal} from "../engine/noise.js";
import {paint, PIXELS, picture} from "../shared/pictures.js";
import {calm, choice, mount, num, slider, sym} from "../shared/view.js";

const STEPS = [1, 2, 3, 5, 10, 20, 50, 100, 200];
const NAMES = {ddpm: "DDPM", ddim: "DDIM", "dpm++": "DPM-Solver++", heun: "Heun"};
const KEPT = 6; // digits drawn before, to compare with
const HAT = "<var>x̂</var><sub>0</sub>";

mount("digit", {
  title: "A digit forms",
  caption:
    `On the left ${sym("x", "t")}, which starts as pure noise; on the right ${HAT}, the network's guess at the ` +
    `digit in it. The network is one that ships with the book. It runs in this page, and nothing you do leaves it.`,
  controls: {
    digit: choice({label: "Digit", options: [..."0123456789"], start: "7"}),
    sampler: choice({label: "Sampler", options: NAMES, start: "ddim"}),
    guidance: slider({
      label: `Guidance <var>w</var>`, spoken: "Guidance w", range: [0, 6, 0.5], start: 1, say: (w) => num(w, 1),
    }),
    steps: slider({label: "Steps", values: STEPS, start: 20}),
    seed: slider({label: "Noise that it starts from", range: [1, 50, 1], start: 1, say: (k) => `no. ${k}`}),
  },
  setup,
  draw,
  play: go,
  changed(name, view) {
    forget(view);
    if (view.made.used || name === "digit") view.play(true);
  },
  restart(view) {
    forget(view);
    view.made.kept = [];
    view.made.gallery.replaceChildren();
  },
});

function setup(stage, view) {
  const {place} = view;
  const pair = box("pair");
  const x_t = picture(), x0_hat = picture(`${HAT}, the guess`);
  pair.append(x_t.element, x0_hat.element);
  const [run] = place.querySelectorAll(".buttons button");
  const start = document.createElement("button");
  start.type = "button";
  start.className = "start";
  start.addEventListener("click", () => {
    view.play(true);
    run.focus(); // this button goes
  });
  x0_hat.frame.append(start);

  const scrub = slider({
    label: "Step", range: [0, 1, 1], start: 0, say: (k) => `${k} of ${view.values.steps}`,
  })(0, () => {
    const {made} = view;
    view.play(false);
    made.goal = scrub.value();
    made.at = Math.min(made.goal, made.path.length - 1);
    if (made.at < made.goal) view.play(true); // on to a step that is still to come
    else view.redraw();
  });
  const bar = box("bar");
  bar.append(run, scrub.element);
  stage.append(place.querySelector(".choice"), pair, bar);
  const gallery = document.createElement("ul");
  gallery.className = "gallery";
  gallery.setAttribute("aria-label", "Drawn before, the last one first");
  place.append(gallery);
  return {x_t, x0_hat, start, scrub, gallery, kept: [], used: false, ...beginning()};
}

function box(className) {
  const made = document.createElement("div");
  made.className = className;
  return made;
}

// While `at` is -1 there is noise, and nothing was seen in it.
function beginning() {
  return {path: [], at: -1, goal: undefined, next: undefined, waiting: false, failed: ""};
}

function forget(view) {
  view.play(false);
  Object.assign(view.made, beginning());
}

// One frame: a step further, if it is there and the one before was seen long enough.
function go(view) {
  const {made} = view;
  const last = view.values.steps;
  made.used = true;
  made.failed = "";
  if (made.at === (made.goal ?? last)) {
    made.goal = last; // pressed at its end, it goes on, or once more from the noise
    if (made.at === last) made.at = 0;
  }
  const now = performance.now();
  const long = calm() ? 0 : Math.min(400, Math.max(20, 2000 / last));
  if (made.at + 1 < made.path.length) {
    if (now - (made.shown ?? 0) >= long) {
      made.at++;
      made.shown = now;
    }
  } else if (!made.waiting) ask(view);
  return made.at !== (made.goal ?? last);
}

async function ask(view) {
  const {made, values} = view;
  made.waiting = true;
  if (!made.next) {
    const {digit, guidance, sampler, steps, seed} = values;
    const settings = {label: Number(digit), guidance, sampler, steps, seed};
    made.next = model(view.place.dataset.model ?? "mnist-labels").begin(settings);
  }
  const {next} = made;
  try {
    const step = await next();
    if (next === made.next) made.path.push(step);
  } catch (error) {
    if (next !== made.next) return;
    forget(view);
    made.failed = error.message;
    view.redraw();
  }
  if (next === made.next) made.waiting = false;
}

function draw(values, view) {
  const {made} = view;
  const {x_t, x0_hat, start, scrub} = made;
  const here = made.path[made.at];
  const moving = made.at >= 0 && made.at !== (made.goal ?? values.steps);
  scrub.element.querySelector("input").max = values.steps;
  scrub.set(Math.max(0, made.at));
  start.hidden = made.at >= 0 || made.waiting;
  start.textContent = `Draw a ${values.digit}`;
  if (!(moving && calm())) {
    paint(x_t.canvas, here?.x_t ?? normal(values.seed, PIXELS)());
    paint(x0_hat.canvas, here?.x0_hat);
    const t = here?.t ?? "T";
    x_t.name.innerHTML = `${sym("x", "t")} at ${sym("t")} = ${here ? t : sym("T")}`;
    x_t.say(t ? `x_t at t = ${t}: a ${values.digit} under noise` : `A ${values.digit}, done`);
    x0_hat.say(here ? `What the network sees in it at t = ${t}` : "Still empty");
  }
  if (made.failed) return `This browser cannot draw here: ${made.failed}.`;
  if (!here) return made.waiting ? "The model is coming …" : idle(values);
  if (made.at === values.steps) {
    keep(view);
    return done(values, made);
  }
  return during(values, made, here);
}

function idle({steps, sampler}) {
  return `The model, 4 MB, comes into the page when you draw. ${NAMES[sampler]} will take ${count(steps, "step")}.`;
}

function during({steps}, {at}, {t, alpha_bar}) {
  return (
    `At ${sym("t")} = ${t}, after ${at} of ${steps} steps, ${sym("x", "t")} is ` +
    `${num(Math.sqrt(alpha_bar))} times a digit plus ${num(Math.sqrt(1 - alpha_bar))} times noise, and ` +
    `${HAT} is the network's guess at the digit.`
  );
}

function done({digit, guidance, sampler, steps}, {path}) {
  const looks = (sampler === "heun" ? 2 * steps - 1 : steps) * (guidance ? 2 : 1);
  const seconds = path.reduce((sum, {milliseconds}) => sum + milliseconds, 0) / 1000;
  return (
    `A ${digit} that nobody wrote, in ${count(steps, "step")}: the network looked at ` +
    `${count(looks, "picture")}, which took ${num(seconds, 1)} s here. Move the step to see how it came about.`
  );
}

function count(n, word) {
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}

// What is done stands in a row with those before, to compare.
function keep({made, values}) {
  const {digit, guidance, sampler, steps, seed} = values;
  const name = `${digit}, w = ${num(guidance, 1)}, ${NAMES[sampler]}, ${steps}, no. ${seed}`;
  if (made.kept.includes(name)) return;
  made.kept.unshift(name);
  const item = document.createElement("li");
  const {element, canvas, say} = picture(
    `<var>w</var> = ${num(guidance, 1)}<br>${NAMES[sampler]}, ${steps}`,
  );
  paint(canvas, made.path.at(-1).x_t);
  say(`A ${digit} from noise no. ${seed}`);
  item.append(element);
  made.gallery.prepend(item);
  if (made.kept.length > KEPT) {
    made.kept.pop();
    made.gallery.lastChild.remove();
  }
}
