// The formulas of the live views against ddpm_tutorial: golden.json is written from it.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {dirname, join} from "node:path";
import {test} from "node:test";
import {fileURLToPath} from "node:url";
import * as m from "./mixture.js";
import {unmasked} from "./pixels.js";

const folder = dirname(fileURLToPath(import.meta.url));
const golden = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8"));
const mixtures = Object.fromEntries(
  Object.entries(golden.mixtures).map(([name, [weights, means, variances]]) => [name, {weights, means, variances}]),
);

/** Largest difference, relative to numbers that are larger than 1. */
function near(found, wanted, what, tolerance = 1e-6) {
  assert.equal(found.length, wanted.length, what);
  found.forEach((value, k) => {
    const apart = Math.abs(value - wanted[k]) / Math.max(1, Math.abs(wanted[k]));
    assert.ok(apart <= tolerance, `${what}, entry ${k}: ${value} for ${wanted[k]}`);
  });
}

test("schedules have the package's tables", () => {
  for (const {name, T, t, alpha_bar, beta} of golden.schedules) {
    const chain = m.schedule(name, T);
    const relative = (found, wanted) => found.map((v, k) => (wanted[k] ? v / wanted[k] : v + 1));
    const ones = t.map(() => 1);
    near(relative(t.map((k) => chain.alphaBar[k]), alpha_bar), ones, `alphaBar of ${name}, T = ${T}`);
    near(relative(t.map((k) => chain.beta[k]), beta), ones, `beta of ${name}, T = ${T}`);
  }
  assert.equal(new Set(golden.schedules.map(({name}) => name)).size, 5);
});

test("marginals, scores, guesses and steps back are the package's", () => {
  for (const {mixture, schedule, T, t, s, x, ...wanted} of golden.places) {
    const data = mixtures[mixture], {alphaBar} = m.schedule(schedule, T);
    const a = alphaBar[t], what = `${mixture}, ${schedule}, T = ${T}, t = ${t}`;
    near(x.map((v) => m.logDensity(m.marginal(data, a), v)), wanted.log_density, `ln q, ${what}`);
    near(x.map((v) => m.score(m.marginal(data, a), v)), wanted.score, `score, ${what}`);
    near(x.map((v) => m.bestGuess(data, v, a)), wanted.guess, `guess, ${what}`);
    near(x.map((v) => m.variance(m.stepBack(data, v, a))), wanted.uncertainty, `Var(x_0 | x_t), ${what}`);
    near(x.map((v) => m.mean(m.stepBack(data, v, a, alphaBar[s]))), wanted.mean, `mean, ${what}`);
    near(x.map((v) => m.variance(m.stepBack(data, v, a, alphaBar[s]))), wanted.variance, `variance, ${what}`);
  }
});

test("the true step back is that of Bayes' rule, and as far from a normal one", () => {
  for (const {T, t, x_t, x, log_density, divergence} of golden.steps_back) {
    const {alphaBar} = m.schedule("cosine", T);
    const back = m.stepBack(mixtures.example, x_t, alphaBar[t], alphaBar[t - 1]);
    near(x.map((v) => m.logDensity(back, v)), log_density, `T = ${T}`);
    near([m.divergenceFromNormal(back)], [divergence], `divergence, T = ${T}`);
  }
});

test("the bound and its gap are those of elbo_terms", () => {
  for (const {T, denoising, prior, reconstruction, gap} of golden.bounds) {
    const found = m.bound(mixtures.example, m.schedule("cosine", T));
    near([...found.denoising.true.slice(2)], denoising, `denoising terms, T = ${T}`);
    near([found.prior, -found.reconstruction], [prior, reconstruction], `both ends, T = ${T}`);
    near([found.gap.true], [gap], `gap, T = ${T}`);
  }
});

test("other variances cost what the formulas of the chapter say", () => {
  for (const {T, ...wanted} of golden.fixed_variances) {
    const {denoising} = m.bound(mixtures.example, m.schedule("cosine", T));
    for (const [choice, terms] of Object.entries(wanted)) {
      near([...denoising[choice].slice(2)], terms, `${choice}, T = ${T}`);
    }
  }
});

test("samplers take the package's steps", () => {
  for (const {schedule, sampler, pairs, x} of golden.paths) {
    const chain = m.schedule(schedule, 1000);
    assert.deepEqual(m.strides(1000, pairs.length), pairs);
    for (const states of x) {
      const path = m.walk(mixtures.example, chain, sampler, pairs, states[0]);
      near(path.map(([, v]) => v), states, `${sampler}, ${schedule}`);
    }
  }
});

test("ancestral steps have the mean and variance of the true step back", () => {
  const {alphaBar} = m.schedule("cosine", 20), data = mixtures.example, normal = m.normals(7);
  const [a, b] = [alphaBar[8], alphaBar[5]], back = m.stepBack(data, 0.3, a, b);
  const draws = Array.from({length: 20000}, () => m.SAMPLERS.ddpm(data, a, b, 0.3, normal()));
  const mean = draws.reduce((sum, v) => sum + v, 0) / draws.length;
  const variance = draws.reduce((sum, v) => sum + (v - mean) ** 2, 0) / draws.length;
  assert.ok(Math.abs(mean - m.mean(back)) < 4 * Math.sqrt(m.variance(back) / draws.length));
  assert.ok(Math.abs(variance / m.variance(back) - 1) < 4 * Math.sqrt(2 / draws.length));
});

test("guesses of answers are the package's", () => {
  const {alphaBar} = m.schedule("cosine", 1000), data = mixtures.example;
  for (const {y, sigma, t, x, exact, dps, variance} of golden.answers) {
    const a = alphaBar[t], truth = m.given(data, y, sigma), what = `y = ${y}`;
    near(x.map((v) => m.moments(truth, v, a)[0]), exact, `exact, ${what}`);
    near(x.map((v) => m.bestGuess(truth, v, a)), exact, `exact, ${what}`);
    near(x.map((v) => m.guided(data, v, a, y, sigma, false)[0]), dps, `DPS, ${what}`);
    near(x.map((v) => m.guided(data, v, a, y, sigma, true)[0]), variance, `with variance, ${what}`);
  }
});

test("two pixels lose what their distributions say", () => {
  for (const {T, schedule, ...wanted} of golden.two_pixels) {
    const found = unmasked(0.8, T, schedule), what = `T = ${T}, ${schedule}`;
    near([found.gap, found.divergence], [wanted.gap, wanted.divergence], what);
    near([...found.joint, ...found.drawn], [...wanted.joint, ...wanted.drawn], what);
  }
});

test("shares and quantiles belong to each other", () => {
  const bell = {weights: [1], means: [0], variances: [1]};
  for (const [z, share] of golden.normal_share) near([m.shareBelow(bell, z)], [share], `z = ${z}`, 1e-12);
  for (const share of [0.01, 0.3, 0.9]) {
    near([m.shareBelow(mixtures.example, m.quantile(mixtures.example, share))], [share], "share", 1e-12);
  }
});

test("draws are normal, and the same for the same seed", () => {
  const normal = m.normals(1), draws = Array.from({length: 40000}, normal);
  const moment = (p) => draws.reduce((sum, z) => sum + z ** p, 0) / draws.length;
  near([moment(1), moment(2), moment(4)], [0, 1, 3], "moments", 0.03);
  assert.equal(m.normals(1)(), m.normals(1)());
});
