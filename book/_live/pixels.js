// Two pixels of chapter 19, black or white, and what unmasking them in T steps costs, exactly.

const SHARES = {even: (u) => 1 - u, cosine: (u) => Math.cos((u * Math.PI) / 2) ** 2};

/** With pixels that are equal with probability `equal`, of which 0.6 and 0.4 are black and white:
 * {joint, drawn: the four pairs of the data and of the samples; together: the probability that both are
 * revealed in one step; gap of the bound and divergence of the samples, in nats}. */
export function unmasked(equal, T, schedule) {
  const black = 0.6, apart = Math.min((1 - equal) / 2, 0.4), joint = [black - apart, apart, apart, 1 - black - apart];
  const product = [black ** 2, black * (1 - black), black * (1 - black), (1 - black) ** 2];
  const times = Array.from({length: T + 1}, (_, t) => SHARES[schedule](t / T));
  const together = times.slice(1).reduce((sum, a, k) => sum + (times[k] - a) ** 2, 0);
  const drawn = joint.map((p, k) => (1 - together) * p + together * product[k]);
  const divergence = (other) => joint.reduce((sum, p, k) => sum + p * Math.log(p / other[k]), 0);
  return {joint, drawn, together, gap: together * divergence(product), divergence: divergence(drawn)};
}
