// Chapter 5: what x_t says about x_0: two bells, and the best guess between them.
import {EXAMPLE, bestGuess, density, mean, schedule, stepBack, variance} from "../mixture.js";
import {grid, plot} from "../shared/plot.js";
import {mount, num, slider, sym} from "../shared/view.js";

const T = 1000, CHAIN = schedule("cosine", T), STATES = grid(-2.5, 2.5, 251);

function draw({x, t}, view) {
  const a = CHAIN.alphaBar[t], after = stepBack(EXAMPLE, x, a), guess = mean(after);
  const {above, below} = view.made, small = view.width < 420;
  // Near the data the guess follows x_t, and the pictures follow the guess.
  const reach = Math.max(1.5, 1.2 * Math.abs(guess)), xs = grid(-reach, reach, 401);
  const ys = xs.map((v) => density(after, v)), most = Math.max(2.2, ...ys);

  const bells = plot(above, {
    width: view.width,
    height: small ? 200 : 220,
    x: {range: [-reach, reach], label: "x_0"},
    y: {range: [0, 1.08 * most], label: "density"},
    describe: "The posterior of x_0 given x_t as two bells, one for each hump, with its mean, and the data's density.",
  });
  bells.line(xs, xs.map((v) => density(EXAMPLE, v)), "faint", "2 4");
  ["c1", "c0"].forEach((colour, k) => {
    const alone = {weights: [1], means: [after.means[k]], variances: [after.variances[k]]};
    const part = xs.map((v) => after.weights[k] * density(alone, v));
    bells.fill(xs, part, colour);
    bells.line(xs, part, colour);
  });
  bells.upright(guess, "c2", "6 3");
  const right = guess < 0.2;
  bells.text(guess, 1.02 * most, `best guess ${num(guess)}`, "", right ? "start" : "end", right ? 6 : -6, 6);

  const high = Math.max(1.1, 1.1 * Math.abs(guess));
  const curve = plot(below, {
    width: view.width,
    height: small ? 190 : 210,
    x: {range: [-2.5, 2.5], label: "x_t", ticks: [-2, -1, 0, 1, 2]},
    y: {range: [-high, high], label: "E[x_0 | x_t]", ticks: high > 1.1 ? undefined : [-1, -0.5, 0, 0.5, 1]},
    describe: "The best guess of x_0 as a function of x_t at this step, with the x_t that is chosen.",
  });
  curve.level(EXAMPLE.means[0], "c1 thin");
  curve.level(EXAMPLE.means[1], "c0 thin");
  curve.text(2.5, EXAMPLE.means[0], "left hump", "", "end", 0, 15);
  curve.text(-2.5, EXAMPLE.means[1], "right hump", "", "start", 6, -6);
  curve.line(STATES, STATES.map((v) => bestGuess(EXAMPLE, v, a)), "c2");
  curve.follow((v) => view.set("x", Math.max(-2.5, Math.min(2.5, v))));
  curve.handle(x, guess, "c2", (v) => view.set("x", Math.max(-2.5, Math.min(2.5, v))));

  const [first, second] = after.weights;
  return (
    `From ${sym("x", "t")} = ${num(x)} at ${sym("t")} = ${t}: with probability ${num(first)} it began in the hump ` +
    `on the left, with ${num(second)} in the one on the right. The best guess is ` +
    `E[${sym("x", "0")} | ${sym("x", "t")}] = ${num(guess, 3)}, the standard deviation ` +
    `${num(Math.sqrt(variance(after)))}.`
  );
}

mount("posterior", {
  title: "What a noisy number says about the data",
  caption:
    `Drag the point, then change ${sym("t")}. Where both bells stand, the guess (dashed) lies between them, where ` +
    `there are hardly any data (dotted). Near the data, at small ${sym("t")}, one bell wins.`,
  controls: {
    x: slider({label: sym("x", "t"), spoken: "x t", range: [-2.5, 2.5, 0.05], start: -0.1, say: (v) => num(v)}),
    t: slider({label: `step ${sym("t")}`, spoken: "step t", range: [1, T - 1, 1], start: 300}),
  },
  setup(stage) {
    const [above, below] = [document.createElement("div"), document.createElement("div")];
    stage.append(above, below);
    return {above, below};
  },
  draw,
});
