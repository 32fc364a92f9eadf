// Chapter 16: the lines of the training through one point, their mean slope, and the path of the flow.
import {EXAMPLE, mean, quantile, responsibilities, shareBelow, stepBack} from "../mixture.js";
import {grid, plot} from "../shared/plot.js";
import {mount, num, slider, sym} from "../shared/view.js";

const TIMES = grid(0, 1, 101), LINES = 24;

/** The density of z = (1 − u) x_0 + u eps. */
const at = (u) => ({
  weights: EXAMPLE.weights,
  means: EXAMPLE.means.map((m) => (1 - u) * m),
  variances: EXAMPLE.variances.map((v) => (1 - u) ** 2 * v + u ** 2),
});

/** q(x_0 | z): that of the chain, at the x_t that z is up to a factor. */
function posterior(z, u) {
  const scale = (1 - u) ** 2 + u ** 2;
  return stepBack(EXAMPLE, z / Math.sqrt(scale), (1 - u) ** 2 / scale);
}

function draw({u, z}, view) {
  const origins = posterior(z, u), guess = mean(origins), velocity = (z - guess) / u;
  const share = shareBelow(at(u), z), path = TIMES.map((time) => quantile(at(time), share));
  const small = view.width < 420;
  const picture = plot(view.made, {
    width: view.width,
    height: small ? 320 : 380,
    x: {range: [0, 1], label: "time $u$, from data to noise", ticks: [0, 0.25, 0.5, 0.75, 1]},
    y: {range: [-2.4, 2.4], label: "z_u", ticks: [-2, -1, 0, 1, 2]},
    describe:
      "Straight lines from data at u = 0 to noise at u = 1 through one point, their mean slope there, and the " +
      "curved path of the flow through it.",
  });
  for (const start of [-2.2, -1.4, -0.8, -0.3, 0.2, 0.8, 1.4, 2.2]) {
    const part = shareBelow(at(1), start);
    picture.line(TIMES, TIMES.map((time) => quantile(at(time), part)), "faint thin");
  }
  for (let k = 0; k < LINES; k++) {
    const x0 = quantile(origins, (k + 0.5) / LINES), noise = (z - (1 - u) * x0) / u;
    picture.line([0, 1], [x0, noise], `${responsibilities(EXAMPLE, x0)[0] > 0.5 ? "c1" : "c0"} thin`);
  }
  picture.line(TIMES, path, "ink");
  const half = 0.16;
  picture.line([u - half, u + half], [z - half * velocity, z + half * velocity], "c2 thick");
  picture.handle(u, z, "c2", (time, point) => {
    view.set("u", Math.max(0.05, Math.min(0.95, time)));
    view.set("z", Math.max(-2, Math.min(2, point)));
  });
  const left = origins.weights[0];
  return (
    `Of all lines through this point ${num(100 * left, 0)}% come from the lower hump. Their mean slope is ` +
    `${sym("ν")} = ${num(velocity)}, and the flow takes it. Its path joins the noise ` +
    `${num(path.at(-1))} to ${sym("x", "0")} = ${num(path[0])}.`
  );
}

mount("flow", {
  title: "Many lines, one slope",
  caption:
    `Drag the point. The thin lines are those of the training that pass through it, in the colours of their humps; ` +
    `the short thick one has their mean slope, and the path of the flow touches it (other paths are grey). ` +
    `Near the noise the lines fan out from both humps; near the data all come from one.`,
  controls: {
    u: slider({label: `time ${sym("u")}`, spoken: "time u", range: [0.05, 0.95, 0.05], start: 0.5, say: (v) => num(v)}),
    z: slider({label: `point ${sym("z", "u")}`, spoken: "point z u", range: [-2, 2, 0.05], start: 0, say: (v) => num(v)}),
  },
  setup(stage) {
    const picture = document.createElement("div");
    stage.append(picture);
    return picture;
  },
  draw,
});
