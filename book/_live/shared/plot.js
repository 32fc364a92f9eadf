// A small plot in SVG: axes, lines, areas, bands of grey, marks, and handles to drag.
// Drawn at the size it is shown, so that words keep their size on a phone. Colours are classes:
// c0 … c5 are the book's palette, ink is the text's colour, faint a grey (book/_static/live.css).
const SVG = "http://www.w3.org/2000/svg";
const LEFT = 44, RIGHT = 10, TOP = 10, BOTTOM = 40;

export function svg(tag, attributes = {}, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.append(...words(text));
  return made;
}

// Letters between dollars and x_t are set as in a formula: "step $t$", "x_t", "10^{-4}".
const FORMULA = /(\$\S+?\$|\w+[_^](?:\{[^}]+\}|\w))/;

function words(text) {
  const part = (className, content, dy) => {
    const made = svg("tspan", {class: className, ...(dy && {dy})});
    made.textContent = content.replaceAll("-", "−");
    return made;
  };
  return text.split(FORMULA).flatMap((piece, place) => {
    if (place % 2 === 0) return [piece];
    if (piece.startsWith("$")) return [part("symbol", piece.slice(1, -1))];
    const [letter, index] = piece.split(/[_^]/), up = piece.includes("^");
    const kind = (one) => (/[a-z]/i.test(one) ? "symbol" : "");
    // The line goes on at its old height after a character without width.
    return [
      part(kind(letter), letter),
      part(`index ${kind(index)}`, index.replace(/[{}]/g, ""), up ? "-0.45em" : "0.25em"),
      part("", "\u200b", up ? "0.34em" : "-0.19em"),
    ];
  });
}

/** A power of ten as a tick: 10^{-4}. */
export const power = (value) => {
  const exponent = Math.round(Math.log10(value));
  return exponent >= 0 ? String(10 ** exponent) : `10^{${exponent}}`;
};

/** `count` numbers from low to high, evenly. */
export const grid = (low, high, count) =>
  Array.from({length: count}, (_, k) => low + ((high - low) * k) / (count - 1));

/** Round numbers, about `count` of them, between low and high. */
export function ticks(low, high, count = 5) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return found;
}

/** A short piece of a line, for a legend in HTML. */
export const key = (className, dash = "") =>
  '<svg class="key" width="30" height="10" aria-hidden="true">' +
  `<path d="M0,5H30" class="line ${className}" stroke-dasharray="${dash}"/></svg>`;

/** A plot that fills `holder`, a box that stays. `x` and `y` are {range: [low, high], label, ticks, log, say};
 * `describe` says in words what the picture is, for those who cannot see it. */
export function plot(holder, {width, height, x, y, describe, left = LEFT}) {
  const root = svg("svg", {width, height, viewBox: `0 0 ${width} ${height}`, role: "img"});
  root.setAttribute("aria-label", describe);
  const inner = {left, right: width - RIGHT, top: TOP, bottom: height - (x.label ? BOTTOM : 24)};
  const scale = ({range: [low, high], log}, from, to) => {
    const f = log ? Math.log : (v) => v;
    const a = f(low), b = f(high);
    return {
      at: (v) => from + ((f(v) - a) / (b - a)) * (to - from),
      back: (p) => (log ? Math.exp : (v) => v)(a + ((p - from) / (to - from)) * (b - a)),
    };
  };
  const sx = scale(x, inner.left, inner.right), sy = scale(y, inner.bottom, inner.top);
  const id = `clip-${Math.random().toString(36).slice(2)}`;
  const clip = svg("clipPath", {id});
  clip.append(
    svg("rect", {x: inner.left, y: inner.top, width: inner.right - inner.left, height: inner.bottom - inner.top}),
  );
  const area = svg("g", {"clip-path": `url(#${id})`}), over = svg("g"), axes = svg("g", {class: "axes"});
  root.append(clip, area, axes, over);
  drawAxes(axes, inner, x, y, sx, sy, width);
  holder.replaceChildren(root);

  const points = (xs, ys) => {
    let path = "";
    for (let i = 0; i < xs.length; i++) {
      if (Number.isFinite(ys[i])) path += `${path ? "L" : "M"}${sx.at(xs[i]).toFixed(1)},${sy.at(ys[i]).toFixed(1)}`;
    }
    return path;
  };
  const add = (made, to = area) => (to.append(made), made);
  return {
    root, sx, sy, inner,
    line: (xs, ys, className, dash = "") =>
      add(svg("path", {d: points(xs, ys), class: `line ${className}`, "stroke-dasharray": dash})),
    fill(xs, ys, className, base = 0) {
      const floor = sy.at(Math.max(base, y.range[0]));
      const path = `${points(xs, ys)}L${sx.at(xs.at(-1))},${floor}L${sx.at(xs[0])},${floor}Z`;
      return add(svg("path", {d: path, class: `fill ${className}`}));
    },
    upright: (at, className, dash = "4 4") =>
      add(svg("line", {x1: sx.at(at), x2: sx.at(at), y1: inner.top, y2: inner.bottom, class: `line ${className}`, "stroke-dasharray": dash})),
    level: (at, className, dash = "4 4") =>
      add(svg("line", {x1: inner.left, x2: inner.right, y1: sy.at(at), y2: sy.at(at), class: `line ${className}`, "stroke-dasharray": dash})),
    /** A dot, whole at an edge too; none where the plot does not reach. */
    dot(at, value, className, r = 4) {
      const [cx, cy] = [sx.at(at), sy.at(value)];
      if (cy < inner.top - 1 || cy > inner.bottom + 1) return undefined;
      return add(svg("circle", {cx, cy, r, class: `dot ${className}`}), over);
    },
    arrow(at, value, dx, className) {
      const [px, py, end] = [sx.at(at), sy.at(value), sx.at(at + dx)];
      const head = Math.sign(end - px) * Math.min(5, Math.abs(end - px));
      const d = `M${px},${py}H${end}M${end - head},${py - 3}L${end},${py}L${end - head},${py + 3}`;
      return add(svg("path", {d, class: `line ${className}`}));
    },
    text: (at, value, words, className = "", anchor = "start", dx = 0, dy = 0) =>
      add(svg("text", {x: sx.at(at) + dx, y: sy.at(value) + dy, class: `words ${className}`, "text-anchor": anchor}, words), over),
    /** Cells [column][row] from 0 to 1, from the ground's colour to the text's, smoothed. */
    shades(columns) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [columns.length, columns[0].length];
      const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
      const [r, g, b] = getComputedStyle(root).color.match(/\d+/g);
      columns.forEach((column, i) =>
        column.forEach((value, j) => {
          const place = 4 * ((column.length - 1 - j) * columns.length + i);
          image.data.set([r, g, b, 255 * Math.min(1, Math.max(0, value))], place);
        }),
      );
      context.putImageData(image, 0, 0);
      const box = {x: inner.left, y: inner.top, width: inner.right - inner.left, height: inner.bottom - inner.top};
      return add(svg("image", {...box, href: canvas.toDataURL(), preserveAspectRatio: "none"}));
    },
    /** A point that a pointer can drag: moved(x, y) in the plot's units. A slider does the same by key. */
    handle(at, value, className, moved) {
      const grip = svg("g", {class: `handle ${className}`, transform: `translate(${sx.at(at)},${sy.at(value)})`});
      grip.append(svg("circle", {r: 20, class: "reach"}), svg("circle", {r: 7, class: "knob"}));
      drag(grip, holder, (px, py) => moved(sx.back(px), sy.back(py)));
      return add(grip, over);
    },
    /** The whole plot follows a pointer that drags sideways: for the choice of a t, or an x. */
    follow(moved) {
      const sheet = svg("rect", {x: inner.left, y: inner.top, width: inner.right - inner.left, height: inner.bottom - inner.top, class: "sheet"});
      drag(sheet, holder, (px, py) => moved(sx.back(px), sy.back(py)));
      over.prepend(sheet);
    },
  };
}

let release; // what is dragged lives on while the plot below the pointer is drawn anew

function drag(grip, holder, moved) {
  grip.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    release?.();
    const go = ({clientX, clientY}) => {
      const {left, top} = holder.getBoundingClientRect();
      moved(clientX - left, clientY - top);
    };
    const ends = ["pointerup", "pointercancel"];
    release = () => {
      removeEventListener("pointermove", go);
      for (const end of ends) removeEventListener(end, release);
      release = undefined;
    };
    addEventListener("pointermove", go);
    for (const end of ends) addEventListener(end, release);
    go(event);
  });
}

function drawAxes(axes, inner, x, y, sx, sy, width) {
  const say = (axis, v) => (axis.say ?? ((w) => String(+w.toPrecision(6)).replace("-", "−")))(v);
  const frame = `M${inner.left},${inner.top}V${inner.bottom}H${inner.right}`;
  axes.append(svg("path", {d: frame, class: "frame"}));
  const few = width < 420 ? 4 : 6;
  for (const v of x.ticks ?? ticks(...x.range, few)) {
    axes.append(svg("line", {x1: sx.at(v), x2: sx.at(v), y1: inner.bottom, y2: inner.bottom + 4, class: "frame"}));
    const anchor = sx.at(v) > inner.right - 8 ? "end" : "middle";
    const shift = anchor === "end" ? 6 : 0;
    axes.append(svg("text", {x: sx.at(v) + shift, y: inner.bottom + 17, "text-anchor": anchor}, say(x, v)));
  }
  for (const v of y.ticks ?? ticks(...y.range, 4)) {
    axes.append(svg("line", {x1: inner.left - 4, x2: inner.left, y1: sy.at(v), y2: sy.at(v), class: "frame"}));
    axes.append(svg("text", {x: inner.left - 7, y: sy.at(v) + 4, "text-anchor": "end"}, say(y, v)));
  }
  const middle = (inner.left + inner.right) / 2, height = (inner.top + inner.bottom) / 2;
  if (x.label) axes.append(svg("text", {x: middle, y: inner.bottom + 35, "text-anchor": "middle", class: "label"}, x.label));
  if (y.label) {
    axes.append(svg("text", {transform: `translate(12,${height}) rotate(-90)`, "text-anchor": "middle", class: "label"}, y.label));
  }
}
