// What moves by itself: it starts only when asked, and rests while it is out of sight.
import {play} from "./controls.js";

/** A button for it, and run(on). `frame()` is called again and again, until it gives false. */
export function player(place, frame) {
  const button = play(run);
  let running = false;
  let seen = true;
  let next;

  function go() {
    next = undefined;
    if (!running || !seen) return;
    if (frame() === false) run(false);
    goOn();
  }
  function goOn() {
    next ??= requestAnimationFrame(go);
  }
  function run(on) {
    running = on;
    button.set(on);
    goOn();
  }
  new IntersectionObserver((changes) => {
    seen = changes.at(-1).isIntersecting;
    goOn();
  }).observe(place);
  return {button: button.element, run};
}

/** True where the reader has asked for less motion. */
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
