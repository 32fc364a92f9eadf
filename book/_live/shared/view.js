// A view: a title, controls, what it draws, what can be read off, and a caption.
//
// mount(name, spec) fills every <div class="live" data-view="name"> of the page. `spec` holds
//   title     what the view is called, plain text
//   caption   one or two sentences of HTML: what to try, what to see
//   controls  by name, made by slider() or choice(); data-NAME="…" at the place sets the start
//   setup     (stage, view) => anything: called once, adds to the stage what draw() needs
//   draw      (values, view) => the reading: a sentence of HTML that says what is seen now
//   play      optional, (view) => false at the end: one frame of what moves by itself
// and `view` has {place, stage, width, values, made, set(name, value), redraw(), play(on)}.
import {choice, play, reset, slider} from "./controls.js";
import {calm} from "./player.js";

export {choice, slider};

const DELAY = 500; // ms without a move, after which the reading is spoken

/** An element with children; a class if it has one. */
export function box(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function fill(place, spec) {
  place.replaceChildren();
  place.setAttribute("role", "group");
  place.setAttribute("aria-label", spec.title);
  const stage = box("div", "stage");
  const reading = box("p", "reading");
  reading.setAttribute("role", "status");
  const controls = box("div", "controls");
  const caption = box("p", "caption");
  caption.innerHTML = spec.caption;
  place.append(box("p", "title", spec.title), caption, stage, reading, controls);

  const values = {}, parts = {};
  let frame, quiet, beat, tallest = 0, running = false, seen = true;
  const view = {place, stage, values, width: 0, redraw, set, play: run};

  function draw() {
    frame = undefined;
    const width = Math.floor(stage.clientWidth);
    if (!width) return;
    if (width !== view.width) {
      reading.style.minHeight = "";
      tallest = 0;
    }
    view.width = width;
    const said = spec.draw(values, view);
    if (said === undefined) return;
    if (reading.innerHTML !== said) say(said);
    // It keeps the height it once had, so that what is below does not jump.
    tallest = Math.max(tallest, reading.offsetHeight);
    reading.style.minHeight = `${tallest}px`;
  }
  // While it moves nothing is spoken; what it came to is.
  function say(said) {
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
      redraw();
    }));
    values[name] = part.value();
    controls.append(part.element);
  }
  const buttons = box("div", "buttons");
  const button = spec.play && play((on) => run(on));
  // It stands before the control that it moves.
  if (button) controls.prepend(box("div", "playing", button.element, controls.firstElementChild));
  buttons.append(
    reset(() => {
      run(false);
      for (const [name, part] of Object.entries(parts)) {
        part.reset();
        values[name] = part.value();
      }
      redraw();
    }),
  );
  controls.append(buttons);
  view.made = spec.setup?.(stage, view);

  // What moves by itself starts only when asked, and rests while it is out of sight.
  function tick() {
    if (!running || !seen) return;
    if (spec.play(view) === false) return run(false);
    redraw();
    beat = setTimeout(tick, calm() ? 600 : 80); // fewer frames, each as long as a look takes
  }
  function run(on) {
    if (!button) return;
    running = on;
    button.set(on);
    clearTimeout(beat);
    if (on) tick();
    else setTimeout(() => reading.setAttribute("aria-busy", "false"), DELAY);
  }
  new IntersectionObserver((changes) => {
    const {isIntersecting} = changes.at(-1); // the others are past
    const returns = isIntersecting && !seen;
    seen = isIntersecting;
    if (returns && running) tick();
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

/** A symbol as in a formula: sym("x", "t"); sym("bar α", "t") and sym("tilde β", "t") with a sign above. */
export function sym(name, below = "") {
  const [letter, sign] = name.split(" ").reverse();
  const index = below.replace("-", "−").replace(/[a-zA-Z]/g, "<var>$&</var>");
  return `<var${sign ? ` class="${sign}"` : ""}>${letter}</var>${below && `<sub>${index}</sub>`}`;
}

/** A share of one in per cent, as HTML: "34.1%" after what `equals` says, or "< 0.1%". */
export const percent = (share, equals = "") =>
  share < 0.0005 ? "&lt;&nbsp;0.1%" : `${equals}${num(100 * share, 1)}%`;

/** A number as the book prints it, with a true minus. */
export const num = (value, digits = 2) =>
  (Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value).toFixed(digits).replace("-", "−");
