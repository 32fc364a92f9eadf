// Strokes of a pen on a picture, from points in pixels.
import {PIXELS, SIZE} from "./pictures.js";

const PEN = 1.6; // half its width, and where it ends softly

/** Pixels from -1 to 1 above the line `height`, and NaN below, where nothing is said. */
export function inked(strokes, height) {
  const pixels = new Float32Array(PIXELS).fill(NaN);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < SIZE; x++) {
      const away = Math.min(Infinity, ...strokes.map((stroke) => distance(stroke, x, y)));
      pixels[y * SIZE + x] = Math.min(1, Math.max(-1, 2 * (PEN - away)));
    }
  }
  return pixels;
}

// From a point to the nearest of the lines that make a stroke.
function distance(stroke, x, y) {
  const lines = stroke.slice(1).map((end, k) => {
    const [ax, ay] = stroke[k];
    const [dx, dy] = [end[0] - ax, end[1] - ay];
    const along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1);
    const at = Math.min(1, Math.max(0, along));
    return Math.hypot(x - ax - at * dx, y - ay - at * dy);
  });
  return Math.min(...lines);
}

/** A pointer draws on a canvas: begun(stroke), drawn() whenever the stroke has grown, and done(). */
export function pen(canvas, {begun, drawn, done}) {
  const point = ({clientX, clientY}) => {
    const {left, top, width} = canvas.getBoundingClientRect();
    const scale = SIZE / width;
    return [(clientX - left) * scale - 0.5, (clientY - top) * scale - 0.5];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    const stroke = [point(event), point(event)];
    begun(stroke);
    const move = (moved) => {
      stroke.push(point(moved));
      drawn();
    };
    const end = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      done();
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
    drawn();
  });
}
