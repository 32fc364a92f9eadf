// What cannot be read whole at this width. A formula may lie outside the box of its text only where
// it scrolls, and what scrolls says so by fading at an edge.
async () => {
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 150)));
  const seen = (e) => e.checkVisibility();
  const words = (e) => e.closest("p, li, td, div, pre").textContent.trim().slice(0, 60);
  const SCROLLS = ".katex-display, .highlight pre, .pst-scrollable-table-container";
  const outside = (part) => {
    if (part.closest(SCROLLS)) return false;
    const {left, right} = part.getBoundingClientRect();
    for (let box = part.parentElement; box !== document.documentElement; box = box.parentElement) {
      if (getComputedStyle(box).display.startsWith("inline")) continue;
      const edges = box.getBoundingClientRect();
      if (left < edges.left - 1 || right > edges.right + 1) return true;
    }
    return false;
  };
  const formulas = [...document.querySelectorAll("article .katex-html .base")].filter(seen);
  const wider = [...document.querySelectorAll("main, main *")].filter((box) => {
    const scrolls = ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
    return scrolls && seen(box) && box.scrollWidth > box.clientWidth + 1;
  });
  const idle = document.querySelectorAll(".katex-display[tabindex]:not(.more-left, .more-right)");
  const excess = document.documentElement.scrollWidth - innerWidth;
  return [
    ...(excess > 0 ? [`the page is ${excess} pixels too wide`] : []),
    ...formulas.filter(outside).map(words),
    ...[...idle].map((box) => `a needless stop for the tabulator: ${words(box)}`),
    ...wider.filter((box) => !box.matches(".more-left, .more-right")).map(words),
  ];
}
