// The pictures of the theme that is shown which do not load, which nothing describes, whose caption
// is hidden, or which have a sheet of their own below them though they were drawn for this theme.
async () => {
  const images = [...document.querySelectorAll("main img")].filter((e) => e.checkVisibility());
  images.forEach((image) => (image.loading = "eager"));
  await Promise.allSettled(images.map((image) => image.decode()));
  const caption = (e) => e.closest("figure")?.querySelector("figcaption");
  const hidden = (e) => caption(e)?.checkVisibility() === false;
  const clear = (e) => getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)";
  return images
    .filter((e) => !e.naturalWidth || !e.alt || hidden(e) || (e.matches(".only-dark") && !clear(e)))
    .map(({src}) => src);
}
