// Noise that a seed decides: the same in every browser, so that a digit can be drawn again.

/** Uniform numbers in [0, 1): Mulberry32, of a state of 32 bits. */
function uniform(seed) {
  let state = Math.imul(seed + 1, 0x9e3779b1);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A function that draws `count` standard normal numbers each time, two by two (Box and Muller). */
export function normal(seed, count) {
  const draw = uniform(seed);
  return () => {
    const numbers = new Float32Array(count);
    for (let k = 0; k < count; k += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - draw()));
      const angle = 2 * Math.PI * draw();
      numbers[k] = radius * Math.cos(angle);
      if (k + 1 < count) numbers[k + 1] = radius * Math.sin(angle);
    }
    return numbers;
  };
}
