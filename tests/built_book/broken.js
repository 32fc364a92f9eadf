// The pictures of the theme that is shown which do not load, or which nothing describes.
async () => {
  const images = [...document.querySelectorAll("main img")].filter((e) => e.checkVisibility());
  images.forEach((image) => (image.loading = "eager"));
  await Promise.allSettled(images.map((image) => image.decode()));
  return images.filter((e) => !e.naturalWidth || !e.alt).map(({src}) => src);
}
