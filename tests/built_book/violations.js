// What breaks the rules, as axe-core finds it. Contrast is left to pale.js, in both themes: axe takes
// half a minute for it on a long page.
async (rules) => {
  for (const moving of document.getAnimations()) {
    if (Number.isFinite(moving.effect.getComputedTiming().endTime)) moving.finish();
  }
  const {violations} = await axe.run({
    runOnly: rules,
    rules: {"color-contrast": {enabled: false}},
    resultTypes: ["violations"],
  });
  return violations.flatMap(({id, nodes}) => nodes.map(({target, html}) =>
    `${id}: ${target.join(" ")}: ${html.slice(0, 120)}`));
}
