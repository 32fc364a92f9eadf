// What ends a line in the wrong place, or may: within a short formula or short brackets, within a
// short name of the code or some other names, or between a number and what belongs to it.
() => {
  const letters = (e) => e.textContent.replaceAll("\u200b", "").length;
  const depth = (e) => e.querySelectorAll(".mopen").length - e.querySelectorAll(".mclose").length;
  const torn = [];
  for (const formula of document.querySelectorAll("article :not(.katex-display) > .katex .katex-html")) {
    if (!formula.checkVisibility()) continue;
    const bases = [...formula.querySelectorAll(".base")];
    const lefts = bases.map((base) => base.getBoundingClientRect().left);
    let open = 0;
    let first = 0; // of the bases that the outermost bracket joins
    bases.forEach((base, place) => {
      if (open <= 0) first = place;
      open += depth(base);
      if (place + 1 === bases.length || lefts[place + 1] > lefts[place]) return;
      let rest = open;
      const end = bases.findIndex((next, last) => last > place && (rest += depth(next)) <= 0);
      const joined = bases.slice(first, end + 1).map(letters).reduce((a, b) => a + b, 0);
      if (letters(formula) <= 10 || (open > 0 && joined <= 24)) torn.push(formula.textContent);
    });
  }
  for (const name of document.querySelectorAll("article p code .pre, article li code .pre")) {
    const lines = new Set([...name.getClientRects()].map(({top}) => Math.round(top)));
    if (name.checkVisibility() && letters(name) <= 24 && !name.closest("td") && lines.size > 1) {
      torn.push(name.textContent);
    }
  }
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const {parentElement, textContent} = texts.currentNode;
    if (parentElement.closest("pre, code, script, template, .katex")) continue;
    torn.push(...(textContent.match(/(\d|^) ([±×] \d+|%)/g) ?? []));
    if (parentElement.closest(".genindextable")) continue; // an entry begins a line of its own
    if (parentElement.matches("p:not(.admonition-title), strong, em")) {
      torn.push(...(textContent.match(/U-Net|DPM-Solver|[Mm]in-SNR|Wasserstein-2/g) ?? []));
    }
  }
  return torn;
}
