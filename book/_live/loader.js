// Loads the script of a view when the place for it comes near the screen, once for a page.
const {src} = document.currentScript;

function load(name) {
  const script = document.createElement("script");
  script.src = new URL(`${name}.js?v=${VERSIONS[name]}`, src).href;
  document.head.append(script);
}

document.addEventListener("DOMContentLoaded", () => {
  const asked = new Set();
  const near = new IntersectionObserver(
    (entries) => {
      for (const {isIntersecting, target} of entries) {
        const {view} = target.dataset;
        if (!isIntersecting || asked.has(view)) continue;
        asked.add(view);
        load(view);
      }
    },
    {rootMargin: "600px"},
  );
  for (const place of document.querySelectorAll(".live[data-view]")) {
    place.classList.add("awaited"); // keeps room, or the text below would move when the view comes
    near.observe(place);
  }
});
