// Pictures of digits, as the figures of the book have them: white on black, each pixel a square.
export const SIZE = 28;
export const PIXELS = SIZE ** 2;

/** A picture with its name below, HTML. say(words) tells those who cannot see it what it shows. */
export function picture(words = "") {
  const element = document.createElement("figure");
  element.className = "picture";
  element.innerHTML =
    `<div class="frame"><canvas role="img" width="${SIZE}" height="${SIZE}"></canvas></div>` +
    `<figcaption>${words}</figcaption>`;
  const [frame, name] = element.children;
  const canvas = frame.firstChild;
  return {element, frame, name, canvas, say: (said) => canvas.setAttribute("aria-label", said)};
}

/** Fills it with numbers, of which -1 is black and 1 is white; with none it is empty, and so is a pixel
 * that is NaN. */
export function paint(canvas, numbers) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(SIZE, SIZE);
  numbers?.forEach((number, k) => {
    const grey = Math.round((Math.min(1, Math.max(-1, number)) + 1) * 127.5);
    image.data.set([grey, grey, grey, isNaN(number) ? 0 : 255], 4 * k);
  });
  context.putImageData(image, 0, 0);
}
