// node --test: the engine against the Python package, and the noise against what it should be.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import test from "node:test";
import {differences} from "./check.js";
import {scheduleOf, timestepPairs} from "./diffusion.js";
import {normal} from "./noise.js";
import {widened} from "./safetensors.js";

const here = (path) => new URL(path, import.meta.url);
const golden = JSON.parse(readFileSync(here("golden.json"), "utf8"));
const COMPARED = {"mnist-labels": 4 + 4 * 6 + 2, "mnist-one-step": 4 + 3};

for (const [model, compared] of Object.entries(COMPARED)) {
  test(`network, guidance and samplers give what Python's give: ${model}`, () => {
    const asset = readFileSync(here(`../../../ddpm_tutorial/assets/${model}.safetensors`));
    const weights = asset.buffer.slice(asset.byteOffset, asset.byteOffset + asset.length);
    const found = differences(golden[model], weights);
    assert.equal(Object.keys(found).length, compared);
    const far = Object.entries(found).filter(([, difference]) => !(difference <= 1e-3));
    assert.deepEqual(far, []);
  });
}

test("the schedule is the cosine's", () => {
  const alpha_bar = scheduleOf({schedule: "cosine", T: 1000});
  assert.equal(alpha_bar.length, 1001);
  assert.equal(alpha_bar[0], 1);
  assert.ok(Math.abs(alpha_bar[1000] / 2.43e-9 - 1) < 2e-3);
});

test("steps lead from T to 0, and are rounded as Python rounds", () => {
  assert.deepEqual(timestepPairs(10, 2), [[10, 5], [5, 0]]);
  assert.deepEqual(timestepPairs(1000, 16).map(([t]) => t).slice(0, 3), [1000, 938, 875]);
  assert.deepEqual(timestepPairs(1000, 16).at(-1), [62, 0]);
});

test("numbers of 16 bits are read as they are meant", () => {
  const meant = {0x3c00: 1, 0xc000: -2, 0x3555: 0.333251953125, 0x0001: 2 ** -24, 0x8000: -0};
  for (const [half, value] of Object.entries(meant)) assert.equal(widened(Number(half)), value);
});

test("noise is standard normal, follows its seed, and goes on", () => {
  const [draw, again, other] = [normal(3, 784), normal(3, 784), normal(4, 784)];
  const first = draw();
  assert.deepEqual(first, again());
  assert.notDeepEqual(first, other());
  assert.notDeepEqual(first, draw());
  const all = Array.from({length: 200}, draw).flatMap((numbers) => [...numbers]);
  const mean = (f) => all.reduce((sum, z) => sum + f(z), 0) / all.length;
  const wanted = [[(z) => z, 0, 1], [(z) => z * z, 1, 2], [(z) => z ** 4, 3, 96]];
  for (const [moment, value, variance] of wanted)
    assert.ok(Math.abs(mean(moment) - value) < 4 * Math.sqrt(variance / all.length));
  const below = mean((z) => z < -1);
  assert.ok(Math.abs(below - 0.15866) < 4 * Math.sqrt(0.1335 / all.length));
});
