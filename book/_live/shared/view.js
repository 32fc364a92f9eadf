// A view: a title, controls, what it draws, what can be read off, and a caption.
//
// mount(name, spec) fills every <div class="live" data-view="name"> of the page. `spec` holds
//   title     what the view is called, plain text
//   caption   one or two sentences of HTML: what to try, what to see
//   controls  by name, made by slider() or choice(); data-NAME="…" at the place sets the start
//   setup     (stage, view) => anything: called once, adds to the stage what draw() needs
//   draw      (values, view) => the reading: a sentence of HTML that says what is seen now
//   play      optional, (view) => false at the end: one frame of what moves by itself
// and `view` has {stage, width, values, made, set(name, value), redraw(), play(on)}.
import {choice, play, reset, slider} from "./controls.js";

export {choice, slider};

const DELAY = 500; // ms without a move, after which the reading is spoken

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function fill(place, spec) {
  place.replaceChildren();
  place.setAttribute("role", "group");
  place.setAttribute("aria-label", spec.title);
  const stage = element("div", "stage");
  const reading = element("p", "reading");
  reading.setAttribute("role", "status");
  const controls = element("div", "controls");
  const caption = element("p", "caption");
  caption.innerHTML = spec.caption;
  place.append(element("p", "title", spec.title), stage, reading, controls, caption);

  const values = {}, parts = {};
  let frame, quiet, running = false, seen = true;
  const view = {place, stage, values, width: 0, redraw, set, play: run};

  function draw() {
    frame = undefined;
    view.width = Math.floor(stage.clientWidth);
    if (!view.width) return;
    const said = spec.draw(values, view);
    if (said === undefined || reading.innerHTML === said) return;
    // While it moves nothing is spoken; what it came to is.
    reading.setAttribute("aria-busy", "true");
    reading.innerHTML = said;
    clearTimeout(quiet);
    quiet = setTimeout(() => reading.setAttribute("aria-busy", String(running)), DELAY);
  }
  function redraw() {
    frame ??= requestAnimationFrame(draw);
  }
  function set(name, value) {
    parts[name].set(value);
    values[name] = parts[name].value();
    redraw();
  }

  for (const [name, make] of Object.entries(spec.controls)) {
    const part = (parts[name] = make(place.dataset[name], () => {
      values[name] = part.value();
      spec.changed?.(name, view);
      redraw();
    }));
    values[name] = part.value();
    controls.append(part.element);
  }
  const buttons = element("div", "buttons");
  const button = spec.play && play((on) => run(on));
  if (button) buttons.append(button.element);
  buttons.append(
    reset(() => {
      run(false);
      for (const [name, part] of Object.entries(parts)) {
        part.reset();
        values[name] = part.value();
      }
      spec.restart?.(view);
      redraw();
    }),
  );
  controls.append(buttons);
  view.made = spec.setup?.(stage, view);

  // What moves by itself starts only when asked, and rests while it is out of sight.
  function tick() {
    if (!running || !seen) return;
    if (spec.play(view) === false) run(false);
    draw();
    requestAnimationFrame(tick);
  }
  function run(on) {
    if (!button) return;
    const begins = on && !running;
    running = on;
    button.set(on);
    if (begins) requestAnimationFrame(tick);
    else if (!on) setTimeout(() => reading.setAttribute("aria-busy", "false"), DELAY);
  }
  new IntersectionObserver(([{isIntersecting}]) => {
    const returns = isIntersecting && !seen;
    seen = isIntersecting;
    if (returns && running) requestAnimationFrame(tick);
  }).observe(place);
  new ResizeObserver(() => stage.clientWidth !== view.width && redraw()).observe(stage);
  // Pictures made of pixels take the theme's colours when they are drawn.
  new MutationObserver(redraw).observe(document.documentElement, {attributeFilter: ["data-theme"]});
  draw();
  place.classList.remove("awaited");
  place.classList.add("ready");
}

export function mount(name, spec) {
  for (const place of document.querySelectorAll(`.live[data-view="${name}"]`)) fill(place, spec);
}

/** The view's way to show a symbol: x_t as in a formula. */
export const sym = (letter, below = "") => `<var>${letter}</var>${below && `<sub>${below}</sub>`}`;

/** A number as the book prints it, with a true minus. */
export const num = (value, digits = 2) =>
  (Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value).toFixed(digits).replace("-", "−");

/** True where the reader has asked for less motion. */
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
