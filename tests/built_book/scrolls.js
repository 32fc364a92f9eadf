// What has to be scrolled to be read: formulas, tables and what cells print; and on a wide screen code,
// but in a box, which is narrower.
() => {
  const boxes = [".katex-display", ".pst-scrollable-table-container", ".output.stream pre"];
  if (innerWidth > 1200) boxes.push("div.cell_input pre:not(.admonition pre)");
  return [...document.querySelectorAll(boxes.map((box) => `main ${box}`).join())]
    .filter((box) => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1)
    .map((box) => box.textContent.trim().slice(0, 60));
}
