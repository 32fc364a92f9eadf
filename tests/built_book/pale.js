// Texts of less contrast than level AA of WCAG 2 asks for. The browser itself mixes the colours, on
// a canvas of one pixel: every ground below the text, then the text. What still fades in or moves is
// taken to its end first.
() => {
  for (const moving of document.getAnimations()) {
    if (Number.isFinite(moving.effect.getComputedTiming().endTime)) moving.finish();
  }
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const paint = (colour, opacity = 1) => {
    canvas.globalAlpha = opacity;
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((byte) => {
      const share = byte / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (colour, opacity, grounds) => {
    const ground = ["white", ...grounds].map((each) => paint(each)).at(-1);
    const [dark, light] = [ground, paint(colour, opacity)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const contrasts = {}, pale = {};
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const words = texts.currentNode.data.trim(), element = texts.currentNode.parentElement;
    const shown = element.checkVisibility({opacityProperty: true, visibilityProperty: true});
    if (!words || !shown || element.closest(".katex, script, style")) continue;
    let opacity = 1;
    const grounds = [];
    for (let box = element; box; box = box.parentElement) {
      const style = getComputedStyle(box);
      opacity *= style.opacity;
      grounds.unshift(style.backgroundColor);
    }
    const {color, fontSize, fontWeight} = getComputedStyle(element);
    const key = `${color}, opacity ${opacity}, on ${[...new Set(grounds)].join(" ")}`;
    const found = (contrasts[key] ??= contrast(color, opacity, grounds));
    const large = parseFloat(fontSize) >= (fontWeight >= 700 ? 18.66 : 24);
    if (found < (large ? 3 : 4.5)) pale[key] ??= `${found.toFixed(2)}: ${words.slice(0, 40)}`;
  }
  return pale;
}
