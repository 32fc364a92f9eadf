// What only the screen needs goes, and so does what a page keeps folded because it is machinery.
const LEFT_OUT = `.headerlink, .katex-mathml, .only-dark, details.hide, details.symbols,
  .genindex-jumpbox, [id="equations/"] .dropdown`;

document.querySelectorAll(LEFT_OUT).forEach((part) => part.remove());
document.querySelectorAll("details").forEach((lines) => (lines.open = true));

// So what leads to it leads nowhere.
for (const link of document.querySelectorAll('main a[href^="#"]:not(.genindextable a)')) {
  if (!document.getElementById(link.getAttribute("href").slice(1))) link.removeAttribute("href");
}

// What leads to a section leads to its heading, which may have gone to the next sheet alone.
for (const heading of document.querySelectorAll("main section[id] > :is(h1, h2, h3, h4)")) {
  heading.id = heading.parentElement.id;
  heading.parentElement.removeAttribute("id");
}

// A slider shows all that it can show at once.
for (const slider of document.querySelectorAll(".step-slider")) {
  const [picture, input, label] = slider.children;
  const row = document.createElement("div");
  row.className = "stills";
  for (let step = Number(input.min); step <= Number(input.max); step++) {
    input.value = step;
    input.dispatchEvent(new Event("input"));
    const still = document.createElement("div");
    still.append(picture.cloneNode(), label.textContent);
    row.append(still);
  }
  slider.replaceWith(row);
}

// What reaches beyond the text, in a window of its width.
function cut() {
  const right = document.querySelector("main").getBoundingClientRect().right + 1;
  return [...document.querySelectorAll("main :is(.base, table, img, pre)")]
    .filter((part) => part.getBoundingClientRect().right > right)
    .map((part) => part.closest("[id]").id);
}

// Gives each line of contents and index its sheet; returns those that lead nowhere.
function number(sheets) {
  const lines = [...document.querySelectorAll(":is(#contents, .genindextable) a[href]")];
  lines.forEach((line) => (line.dataset.sheet = sheets[line.hash.slice(1)] ?? ""));
  return lines.filter((line) => !line.dataset.sheet).map((line) => line.textContent);
}
