// What forms step by step: it starts when asked, and can be pulled back to a step and left there.
import {slider} from "./controls.js";
import {calm, player} from "./player.js";
import {box} from "./view.js";

// `path` holds the steps so far; it is seen `at` one of them, on its way to `goal`, the last if there is
// none. While `at` is -1 nothing has come.
function beginning() {
  return {path: [], at: -1, goal: undefined, next: undefined, waiting: false, failed: ""};
}

/** A row with Play and a slider, for what takes `last()` steps. `begin()` begins it, and gives a function of
 * which each call brings the next step; say(k) names a step. look() gives the step that is to be seen now,
 * if any, and brings the slider there; `moves` is true on the way, and `used` once it has been played. */
export function stepper({place, redraw}, {last, begin, say = (k) => `${k} of ${last()}`}) {
  const {button, run} = player(place, go);
  const scrub = slider({label: "Step", range: [0, 1, 1], start: 0, say})(0, () => {
    made.goal = scrub.value();
    made.at = Math.min(made.goal, made.path.length - 1);
    run(made.at < made.goal); // on to a step that is still to come
    redraw();
  });
  const element = box("div", "transport", button, scrub.element);
  const made = {element, button, run, forget, look, used: false, ...beginning()};

  function forget() {
    run(false);
    Object.assign(made, beginning());
  }

  // One frame: a step further, if it has come and the one before was seen long enough.
  function go() {
    made.used = true;
    made.failed = "";
    const now = performance.now();
    if (made.at === (made.goal ?? last())) {
      made.goal = last(); // asked for more at its end, it goes on, or once again from the noise
      if (made.at === last()) Object.assign(made, {at: 0, shown: now});
    }
    const long = calm() ? 0 : Math.min(400, Math.max(20, 2000 / last()));
    if (made.at + 1 >= made.path.length) ask();
    else if (!(now - made.shown < long)) {
      made.at++;
      made.shown = now;
    }
    redraw();
    return made.at !== (made.goal ?? last());
  }

  // The next step, unless it is on its way.
  async function ask() {
    if (made.waiting) return;
    made.waiting = true;
    const next = (made.next ??= begin());
    try {
      const step = await next();
      if (next !== made.next) return; // another has begun
      made.path.push(step);
      made.waiting = false;
    } catch (error) {
      if (next !== made.next) return;
      forget();
      made.failed = error.message;
      redraw();
    }
  }

  function look() {
    scrub.element.querySelector("input").max = last();
    scrub.set(Math.max(0, made.at));
    const here = made.path[made.at];
    made.moves = Boolean(here) && made.at !== (made.goal ?? last());
    return here;
  }
  return made;
}
