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

// A short name stays on one line. One that is longer than a line, or stands in a table, may break
// where a part of it ends.
document.addEventListener("DOMContentLoaded", () => {
  for (const name of document.querySelectorAll("code .pre")) {
    const {length} = name.textContent;
    const cell = name.closest("td");
    name.classList.toggle("short", length <= 24 && !cell);
    if (length > (cell ? 12 : 30)) name.innerHTML = name.innerHTML.replace(/[._(,=](?=\w)/g, "$&<wbr>");
  }
});

// What the search shows of a page is its text, without lists of contents and code, without displayed
// formulas, which are not read in one line, and with each other formula once.
const NO_TEXT =
  ".bd-header-article, .bd-sidebar-secondary, #jb-print-docs-body, pre, div.math, .checked, " +
  ".symbols, .katex-html, annotation";

if (typeof Search !== "undefined") {
  const plain = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    page.querySelectorAll(NO_TEXT).forEach((part) => part.remove());
    return plain(page.documentElement.outerHTML, anchor);
  };

  // Sphinx finds an entry of the index by its own words only. Here a question that has all of them,
  // and others, finds it too, and stands first. A page that is found in several ways is listed once,
  // at its best place: the best is the last of the list.
  const search = Search._performSearch;
  Search._performSearch = (query, ...terms) => {
    const {indexentries, docnames, titles, filenames} = Search._index;
    const asked = query.toLowerCase().split(/[\s?!,.\\{}$]+/);
    const named = Object.entries(indexentries)
      .filter(([entry]) => entry.split(" ").every((word) => asked.includes(word)))
      .sort(([one], [other]) => one.length - other.length)
      .flatMap(([, places]) => places)
      .map(([file, id]) => [docnames[file], titles[file], `#${id}`, null, 100, filenames[file]]);
    const found = [...search(query, ...terms), ...named];
    const best = new Map(found.map((result) => [result[0], result]));
    return found.filter((result) => best.get(result[0]) === result);
  };
}

// Who has chosen a section wants to see it: the contents, which cover most of a phone, close.
addEventListener("click", ({target}) => {
  target.closest("dialog a[href^='#']")?.closest("dialog").close();
});

// Who follows a link to what is folded finds it open: a line of algebra, or the text of a solution.
function unfold() {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = () => place?.closest("details:not([open]), .toggle-hidden");
  if (!folded()) return;
  for (let box = folded(); box; box = folded()) {
    if (box.matches("details")) box.open = true;
    else box.querySelector(".toggle-button").click();
  }
  place.scrollIntoView();
}

addEventListener("load", unfold);
addEventListener("hashchange", unfold);
addEventListener("click", ({target}) => {
  // The place may have been opened and closed before, and the address is then the same.
  if (target.closest("a[href*='#']")?.hash === location.hash) setTimeout(unfold);
});

// What an equation says, beside its number, and a symbol means, beside it: for a pointer that rests
// there, for the first tap of a finger, and at a number for a key that reaches it. The second tap on
// a number follows the link.
const preview = document.createElement("div");
preview.className = "preview";
preview.role = "tooltip";
preview.id = "preview";
let named, leaving, resting, tapped;

function showBeside(place, content) {
  clearTimeout(leaving);
  if (named === place) return;
  hidePreview();
  named = place;
  preview.replaceChildren(content.cloneNode(true));
  document.body.append(preview);
  place.setAttribute("aria-describedby", preview.id);
  const {left, top, bottom} = place.getBoundingClientRect();
  const {offsetWidth: width, offsetHeight: height} = preview;
  const below = bottom + 8 + height < innerHeight;
  preview.style.left = `${Math.max(8, Math.min(left, document.body.clientWidth - width - 8))}px`;
  preview.style.top = `${below ? bottom + 8 : Math.max(8, top - 8 - height)}px`;
}

function hidePreview() {
  named?.removeAttribute("aria-describedby");
  named = undefined;
  preview.remove();
}

// Long enough to bring the pointer from the number to the formula.
const hideSoon = () => (leaving = setTimeout(hidePreview, 300));
preview.addEventListener("pointerenter", () => clearTimeout(leaving));
preview.addEventListener("pointerleave", hideSoon);
addEventListener("scroll", hidePreview, {passive: true});
addEventListener("keydown", ({key}) => key === "Escape" && hidePreview());
addEventListener("pointerdown", ({target}) => {
  if (preview.contains(target)) return;
  if (!named?.contains(target)) hidePreview();
  if (!tapped?.contains(target)) tapped = undefined;
});

document.addEventListener("DOMContentLoaded", () => {
  for (const {content, dataset} of document.querySelectorAll("template.equation")) {
    const links = `main a[href$="#equation-${dataset.label}"]`;
    for (const link of document.querySelectorAll(links)) {
      let first;
      link.addEventListener("pointerenter", ({pointerType}) => {
        if (pointerType === "mouse") showBeside(link, content);
      });
      link.addEventListener("pointerleave", hideSoon);
      link.addEventListener("focus", () => showBeside(link, content));
      link.addEventListener("blur", hideSoon);
      link.addEventListener("pointerdown", ({pointerType}) => {
        first = pointerType === "touch" && tapped !== link;
      });
      link.addEventListener("click", (event) => {
        if (!first) return;
        event.preventDefault();
        first = false;
        tapped = link; // and stays so when the page scrolls a little between two taps
        showBeside(link, content);
      });
    }
  }
  for (const symbol of document.querySelectorAll(".math[data-symbol]")) {
    const row = document.querySelector(`.symbols [data-symbol="${symbol.dataset.symbol}"]`);
    const show = () => showBeside(symbol, row);
    // A pointer that only comes by, on its way to somewhere else, shows nothing.
    symbol.addEventListener("pointerenter", ({pointerType}) => {
      if (pointerType === "mouse") resting = setTimeout(show, 300);
    });
    symbol.addEventListener("pointerleave", () => {
      clearTimeout(resting);
      hideSoon();
    });
    symbol.addEventListener("click", show);
  }
});
