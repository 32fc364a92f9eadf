// The pictures of the theme that is shown which do not load, which nothing describes, whose caption
// is hidden, or whose words for a dark page stand on a sheet of another colour.
async () => {
  const images = [...document.querySelectorAll("main img")].filter((e) => e.checkVisibility());
  images.forEach((image) => (image.loading = "eager"));
  await Promise.allSettled(images.map((image) => image.decode()));
  const hidden = (image) => image.parentElement.querySelector("figcaption")?.checkVisibility() === false;
  const sheet = (image) =>
    image.matches(".only-dark") && getComputedStyle(image).backgroundColor !== "rgba(0, 0, 0, 0)";
  return images
    .filter((e) => !e.naturalWidth || !e.alt || hidden(e) || sheet(e))
    .map(({src}) => src);
}
