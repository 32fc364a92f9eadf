// Controls that work by key, touch and screen reader: they are the browser's own, with a label.
// Each function gives a maker, (start, changed) => {element, value(), set(v), reset()}.
// Scripts of two views on one page do not know of each other, so a count would give an id twice.
const newId = () => `live-${Math.random().toString(36).slice(2)}`;

/** A row with a label, the value, and a slider. `values` is a list to choose from, or [min, max, step].
 * `label` is HTML; `spoken` the same in words, where the label has symbols. `say` formats the value.
 * A `wide` one has a line of its own. */
export function slider({label, spoken, values, range, start, say = String, wide}) {
  return (wanted, changed) => {
    const [min, max, step] = range ?? [0, values.length - 1, 1];
    const toInput = (value) => (values ? nearest(values, value) : value);
    const first = toInput(wanted === undefined ? start : Number(wanted));
    const row = document.createElement("div");
    row.className = wide ? "control wide" : "control";
    const id = newId();
    row.innerHTML =
      `<label for="${id}">${label}</label><span class="value" aria-hidden="true"></span>` +
      `<input type="range" id="${id}" min="${min}" max="${max}" step="${step}">`;
    const [, shown, input] = row.children;
    const value = () => (values ? values[Number(input.value)] : Number(input.value));
    if (spoken) input.setAttribute("aria-label", spoken);
    const show = () => {
      shown.textContent = say(value());
      input.setAttribute("aria-valuetext", shown.textContent);
      const share = (100 * (input.value - min)) / (max - min);
      input.style.setProperty("--share", `${share}%`);
    };
    const set = (to) => {
      input.value = toInput(to);
      show();
    };
    input.addEventListener("input", () => {
      show();
      changed();
    });
    input.value = first;
    show();
    return {element: row, value, set, reset: () => set(values ? values[first] : first)};
  };
}

/** A few words of which one is chosen. `options` maps the value to its word. */
export function choice({label, options, start}) {
  return (wanted, changed) => {
    const first = wanted ?? start ?? Object.keys(options)[0];
    const row = document.createElement("div");
    row.className = "control choice";
    row.setAttribute("role", "radiogroup");
    const name = newId();
    row.setAttribute("aria-labelledby", name);
    row.innerHTML =
      `<span class="name" id="${name}">${label}</span>` +
      Object.entries(options)
        .map(
          ([value, word]) =>
            `<label><input type="radio" name="${name}" value="${value}"><span>${word}</span></label>`,
        )
        .join("");
    const inputs = [...row.querySelectorAll("input")];
    const set = (value) => inputs.forEach((input) => (input.checked = input.value === String(value)));
    row.addEventListener("change", changed);
    set(first);
    const value = () => inputs.find((input) => input.checked).value;
    return {element: row, value, set, reset: () => set(first)};
  };
}

/** A button that starts and pauses. */
export function play(changed) {
  const button = document.createElement("button");
  button.type = "button";
  let on = false;
  const set = (to) => {
    on = to;
    button.textContent = on ? "Pause" : "Play";
  };
  set(false);
  button.addEventListener("click", () => changed(!on));
  return {element: button, set};
}

/** A button that puts everything back. */
export function reset(changed) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Start again";
  button.addEventListener("click", changed);
  return button;
}

function nearest(values, value) {
  const away = values.map((one) => Math.abs(one - value));
  return away.indexOf(Math.min(...away));
}
