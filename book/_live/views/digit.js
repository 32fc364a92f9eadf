// A digit forms: the shipped model draws, step by step, x_t beside x_0_hat.
import {model} from "../engine/model.js";
import {normal} from "../engine/noise.js";
import {paint, PIXELS, picture} from "../shared/pictures.js";
import {calm} from "../shared/player.js";
import {stepper} from "../shared/steps.js";
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

function setup(stage, view) {
  const {place, values} = view;
  const steps = stepper(view, {last: () => values.steps, begin: () => begin(view)});
  const x_t = picture();
  const x0_hat = picture(`${HAT}, the guess`);
  const pair = box("div", "pair", x_t.element, x0_hat.element);

  const start = box("button", "start");
  start.type = "button";
  start.addEventListener("click", () => {
    steps.run(true);
    steps.button.focus(); // this one goes
  });
  x0_hat.frame.append(start);
  stage.append(place.querySelector(".choice"), pair, steps.element);

  const gallery = box("ul", "gallery");
  gallery.setAttribute("aria-label", "Drawn before, the last one first");
  place.append(gallery);
  const reset = [...place.querySelectorAll(".buttons button")].at(-1);
  reset.addEventListener("click", () => {
    steps.forget();
    Object.assign(steps, {kept: [], used: false, asked: undefined});
    gallery.replaceChildren();
  });
  return Object.assign(steps, {kept: [], x_t, x0_hat, start, gallery});
}

function begin({place, values}) {
  const {digit, guidance, sampler, steps, seed} = values;
  const settings = {label: Number(digit), guidance, sampler, steps, seed};
  return model(place.dataset.model ?? "mnist-labels").begin(settings);
}

function draw(values, view) {
  const {made} = view;
  const asked = JSON.stringify(values);
  if (made.asked && made.asked !== asked) {
    const other = JSON.parse(made.asked).digit !== values.digit;
    made.forget();
    made.run(made.used || other);
  }
  made.asked = asked;
  const here = made.look();
  made.start.hidden = made.at >= 0 || made.waiting;
  made.start.textContent = `Draw a ${values.digit}`;
  if (!(made.moves && calm())) show(values, made, here);
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
