// The arithmetic of the network for WebAssembly, four numbers at a time, in AssemblyScript. A picture
// lies in memory position by position, the channels of each position side by side. All arguments are
// addresses of float32 numbers, in bytes, and counts. Counts of channels are multiples of four.

// out (rows, columns) = bias + a (rows, inner) times b, by four rows and eight columns. b lies in
// panels of eight columns. Up to three rows too many are read and written.
export function product(
  a: usize, b: usize, bias: usize, out: usize, rows: usize, inner: usize, columns: usize,
): void {
  const along = inner * 4, across = columns * 4;
  for (let column: usize = 0; column < across; column += 32) {
    const bias0 = v128.load(bias + column), bias1 = v128.load(bias + column, 16);
    for (let row: usize = 0; row < rows; row += 4) {
      let p = a + row * along, q = b;
      let s00 = bias0, s01 = bias1, s10 = bias0, s11 = bias1;
      let s20 = bias0, s21 = bias1, s30 = bias0, s31 = bias1;
      for (const end = p + along; p < end; p += 4, q += 32) {
        const b0 = v128.load(q), b1 = v128.load(q, 16);
        let x = v128.load32_splat(p);
        s00 = f32x4.add(s00, f32x4.mul(x, b0));
        s01 = f32x4.add(s01, f32x4.mul(x, b1));
        x = v128.load32_splat(p + along);
        s10 = f32x4.add(s10, f32x4.mul(x, b0));
        s11 = f32x4.add(s11, f32x4.mul(x, b1));
        x = v128.load32_splat(p + 2 * along);
        s20 = f32x4.add(s20, f32x4.mul(x, b0));
        s21 = f32x4.add(s21, f32x4.mul(x, b1));
        x = v128.load32_splat(p + 3 * along);
        s30 = f32x4.add(s30, f32x4.mul(x, b0));
        s31 = f32x4.add(s31, f32x4.mul(x, b1));
      }
      let r = out + row * across + column;
      v128.store(r, s00); v128.store(r, s01, 16); r += across;
      v128.store(r, s10); v128.store(r, s11, 16); r += across;
      v128.store(r, s20); v128.store(r, s21, 16); r += across;
      v128.store(r, s30); v128.store(r, s31, 16);
    }
    b += inner * 32;
  }
}

// The 3 x 3 positions around each `stride`-th position of x (side, side, channels), 0 beyond the edge,
// as one row of 9 * channels: after this a convolution is a product.
export function around(x: usize, out: usize, side: usize, channels: usize, stride: usize): void {
  const size = channels * 4;
  for (let y: usize = 0; y < side; y += stride)
    for (let z: usize = 0; z < side; z += stride)
      for (let dy: usize = 0; dy < 3; dy++)
        for (let dz: usize = 0; dz < 3; dz++, out += size) {
          const row = y + dy - 1, column = z + dz - 1; // -1 is a very large number
          if (row < side && column < side) {
            const from = x + (row * side + column) * size;
            for (let c: usize = 0; c < size; c += 16) v128.store(out + c, v128.load(from + c));
          } else memory.fill(out, 0, size);
        }
}

// Group normalisation of x (positions, channels) in eight groups, with gain and shift of each channel.
// `sums` is room for two numbers a channel.
export function normalise(
  x: usize, gain: usize, shift: usize, out: usize, sums: usize, positions: usize, channels: usize,
): void {
  const size = channels * 4, end = x + positions * size, group = size / 8;
  for (let c: usize = 0; c < size; c += 16) {
    let sum = f32x4.splat(0), squares = f32x4.splat(0);
    for (let p = x + c; p < end; p += size) {
      const value = v128.load(p);
      sum = f32x4.add(sum, value);
      squares = f32x4.add(squares, f32x4.mul(value, value));
    }
    v128.store(sums + c, sum);
    v128.store(sums + size + c, squares);
  }
  for (let first: usize = 0; first < size; first += group) {
    let sum: f64 = 0, squares: f64 = 0;
    for (let c = first; c < first + group; c += 4) {
      sum += load<f32>(sums + c);
      squares += load<f32>(sums + size + c);
    }
    const count = <f64>(positions * channels / 8), mean = sum / count;
    const scale = 1 / Math.sqrt(squares / count - mean * mean + 1e-5);
    for (let c = first; c < first + group; c += 4) {
      const factor = scale * load<f32>(gain + c);
      store<f32>(sums + c, <f32>factor);
      store<f32>(sums + size + c, <f32>(load<f32>(shift + c) - mean * factor));
    }
  }
  for (; x < end; x += size, out += size)
    for (let c: usize = 0; c < size; c += 16) {
      const scaled = f32x4.mul(v128.load(x + c), v128.load(sums + c));
      v128.store(out + c, f32x4.add(scaled, v128.load(sums + size + c)));
    }
}

// x (rows, channels) times 1 + scale plus shift, for each channel; both lie at `by`.
export function modulate(x: usize, by: usize, rows: usize, channels: usize): void {
  const size = channels * 4, one = f32x4.splat(1);
  const end = x + rows * size;
  for (; x < end; x += size)
    for (let c: usize = 0; c < size; c += 16) {
      const scaled = f32x4.mul(v128.load(x + c), f32x4.add(one, v128.load(by + c)));
      v128.store(x + c, f32x4.add(scaled, v128.load(by + size + c)));
    }
}

// x / (1 + exp(-x)) in place.
export function silu(x: usize, count: usize): void {
  const end = x + count * 4;
  for (; x < end; x += 4) {
    const value = load<f32>(x);
    store<f32>(x, value / (1 + Mathf.exp(-value)));
  }
}

// x += y.
export function add(x: usize, y: usize, count: usize): void {
  const end = x + count * 4;
  for (; x < end; x += 16, y += 16)
    v128.store(x, f32x4.add(v128.load(x), v128.load(y)));
}

// Each position sums up the values of all positions, `heads` times with a part of the channels. The
// rows of x (positions, 3 * width) are query, key and value. `weights` is room for `positions` numbers.
export function attend(
  x: usize, out: usize, weights: usize, positions: usize, width: usize, heads: usize,
): void {
  const size = width * 4, row = size * 3, part = size / heads, end = positions * 4;
  const scale: f32 = <f32>1 / Mathf.sqrt(<f32>(width / heads));
  for (let p: usize = 0; p < positions; p++)
    for (let head: usize = 0; head < size; head += part) {
      const query = x + p * row + head;
      let key = x + size + head, most: f32 = -Infinity, total: f32 = 0;
      for (let o: usize = 0; o < end; o += 4, key += row) {
        let score: f32 = 0;
        for (let c: usize = 0; c < part; c += 4)
          score += scale * load<f32>(query + c) * load<f32>(key + c);
        store<f32>(weights + o, score);
        most = max(most, score);
      }
      for (let o: usize = 0; o < end; o += 4) {
        const weight = Mathf.exp(load<f32>(weights + o) - most);
        store<f32>(weights + o, weight);
        total += weight;
      }
      for (let c: usize = 0; c < part; c += 4) {
        let value = x + 2 * size + head + c, sum: f32 = 0;
        for (let o: usize = 0; o < end; o += 4, value += row)
          sum += load<f32>(weights + o) * load<f32>(value);
        store<f32>(out + p * size + head + c, sum / total);
      }
    }
}

// Where the room for numbers begins.
export function start(): usize {
  return __heap_base;
}
