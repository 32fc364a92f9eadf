// What is wider than the page says so: it fades where more can be scrolled to, and the keyboard
// reaches it only then.
const WIDE = ".katex-display, .highlight pre, .pst-scrollable-table-container";

function showWhatIsCut(box) {
  const hidden = box.scrollWidth - box.clientWidth;
  const more = hidden > 1;
  box.classList.toggle("more-left", more && box.scrollLeft > 1);
  box.classList.toggle("more-right", more && box.scrollLeft < hidden - 1);
  if (more) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
}

// On paper every page is light, and nothing is folded.
let theme, opened;

addEventListener("beforeprint", () => {
  const root = document.documentElement;
  theme = root.dataset.theme;
  root.dataset.theme = "light";
  opened = [...document.querySelectorAll("main details:not([open])")];
  opened.forEach((details) => (details.open = true));
});

addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = theme;
  opened.forEach((details) => (details.open = false));
});

document.addEventListener("DOMContentLoaded", () => {
  const boxes = [...document.querySelectorAll(WIDE)];
  const seen = new ResizeObserver((entries) => entries.forEach(({target}) => showWhatIsCut(target)));
  for (const box of boxes) {
    seen.observe(box);
    box.addEventListener("scroll", () => showWhatIsCut(box), {passive: true});
  }
  // A font that arrives changes what is in a box and not the box.
  document.fonts.addEventListener("loadingdone", () => boxes.forEach(showWhatIsCut));
});

// What the search shows of a page is its text, without lists of contents and code, and each formula
// once.
const NO_TEXT = ".bd-sidebar-secondary, #jb-print-docs-body, pre, .katex-html, annotation";

if (typeof Search !== "undefined") {
  const plain = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    page.querySelectorAll(NO_TEXT).forEach((part) => part.remove());
    return plain(page.documentElement.outerHTML, anchor);
  };
}
