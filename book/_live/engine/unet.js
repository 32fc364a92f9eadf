// The network of ddpm_tutorial/models/unet.py, in the same order and by the same names.
//
// Features are {at, side, width}: their address, the sides of the picture, and how many numbers each
// position has. They lie picture by picture, position by position.
import {Memory} from "./memory.js";

const HEAD_WIDTH = 24;
const BYTES = 4;

export class UNet {
  /** From what readSafetensors gives. */
  constructor({config, tensors}) {
    this.config = config.network;
    if (this.config.name !== "unet" || this.config.image_channels !== 1)
      throw new Error("only a U-Net for pictures in grey can be drawn with here");
    this.memory = new Memory();
    this.kernels = this.memory.kernels;
    this.classes = tensors["embed_class.weight"];
    this.weights = {};
    for (const [name, {shape, values}] of Object.entries(tensors)) {
      const at = shape.length > 1 ? this.memory.putWeights(shape, values) : this.memory.put(values);
      this.weights[name] = {at, outputs: shape[0]};
    }
    this.memory.keep();
  }

  /** What it predicts from x_t (pictures * size * size numbers), t and label, of which each picture has
   * one; the label `num_classes` tells it nothing. */
  forward(x_t, t, label) {
    this.pictures = t.length;
    this.memory.forget();
    const embedding = this.embed(t, label);
    let h = this.conv(this.fold(x_t), "first");
    const skips = [];
    for (let i = 0; this.has(`down.${i}`); i++) {
      if (this.isBlock(`down.${i}`)) {
        h = this.block(h, embedding, `down.${i}`);
        skips.push(h);
      } else h = this.conv(h, `down.${i}`, 2);
    }

    h = this.block(h, embedding, "middle_in");
    h = this.block(this.attention(h), embedding, "middle_out");

    for (let i = 0; this.has(`up.${i}`); i++) {
      if (this.isBlock(`up.${i}`)) h = this.block(this.cat(h, skips.pop()), embedding, `up.${i}`);
      else h = this.conv(this.larger(h), `up.${i}`);
    }
    return this.unfold(this.conv(this.silu(this.norm(h, "last.0")), "last.2"));
  }

  // t and the label in one vector: layers.py, Conditioned.embed and step_features.
  embed(t, label) {
    const features = this.features(1, this.config.channels[0]);
    const numbers = this.numbers(features);
    const half = features.width / 2;
    t.forEach((step, picture) => {
      for (let k = 0; k < half; k++) {
        const angle = step * Math.exp((-Math.log(10_000) * k) / half);
        numbers[picture * features.width + k] = Math.cos(angle);
        numbers[picture * features.width + half + k] = Math.sin(angle);
      }
    });
    const hidden = this.silu(this.linear(features, "embed_step.0"));
    const embedding = this.linear(hidden, "embed_step.2");
    if (this.classes) {
      const {width} = embedding;
      const sum = this.numbers(embedding);
      sum.forEach((_, k) => {
        sum[k] += this.classes.values[label[Math.floor(k / width)] * width + (k % width)];
      });
    }
    return this.silu(embedding);
  }

  // ResidualBlock.
  block(x, embedding, name) {
    let h = this.conv(this.silu(this.norm(x, `${name}.norm_1`)), `${name}.conv_1`);
    h = this.modulate(this.norm(h, `${name}.norm_2`), this.linear(embedding, `${name}.modulate`));
    h = this.conv(this.silu(h), `${name}.conv_2`);
    return this.add(h, this.has(`${name}.shortcut`) ? this.linear(x, `${name}.shortcut`) : x);
  }

  // SelfAttention.
  attention(x) {
    const all = this.linear(this.norm(x, "attention.norm"), "attention.query_key_value");
    const out = this.features(x.side, x.width);
    const positions = x.side ** 2;
    const room = this.memory.room(1, positions);
    this.each((i) =>
      this.kernels.attend(of(all, i), of(out, i), room, positions, x.width, headsOf(x.width)),
    );
    return this.add(this.linear(out, "attention.output"), x);
  }

  // A linear map at each position: nn.Linear, or a convolution of 1 x 1.
  linear(x, name) {
    const {at, outputs} = this.weights[`${name}.weight`];
    const bias = this.weights[`${name}.bias`];
    const out = this.features(x.side, Math.ceil(outputs / 8) * 8);
    this.kernels.product(x.at, at, bias.at, out.at, this.rows(x), x.width, out.width);
    return out;
  }

  // A convolution of 3 x 3: a linear map of what lies around each position.
  conv(x, name, stride = 1) {
    const around = this.features(Math.ceil(x.side / stride), 9 * x.width);
    this.each((i) => this.kernels.around(of(x, i), of(around, i), x.side, x.width, stride));
    return this.linear(around, name);
  }

  norm(x, name) {
    const out = this.features(x.side, x.width);
    const room = this.memory.room(2, x.width);
    const {[`${name}.weight`]: gain, [`${name}.bias`]: shift} = this.weights;
    this.each((i) =>
      this.kernels.normalise(of(x, i), gain.at, shift.at, of(out, i), room, x.side ** 2, x.width),
    );
    return out;
  }

  // Both change what they are given.
  modulate(x, by) {
    this.each((i) => this.kernels.modulate(of(x, i), of(by, i), x.side ** 2, x.width));
    return x;
  }

  silu(x) {
    this.kernels.silu(x.at, this.rows(x) * x.width);
    return x;
  }

  add(x, y) {
    this.kernels.add(x.at, y.at, this.rows(x) * x.width);
    return x;
  }

  // The numbers of x and of y side by side.
  cat(x, y) {
    const out = this.features(x.side, x.width + y.width);
    const [to, a, b] = [out, x, y].map((one) => this.numbers(one));
    for (let row = 0; row < this.rows(x); row++) {
      to.set(a.subarray(row * x.width, (row + 1) * x.width), row * out.width);
      to.set(b.subarray(row * y.width, (row + 1) * y.width), row * out.width + x.width);
    }
    return out;
  }

  // Each position four times.
  larger(x) {
    const out = this.features(2 * x.side, x.width);
    const [to, from] = [out, x].map((one) => this.numbers(one));
    forEachPixel(this.pictures, out.side, (position, square) => {
      const part = from.subarray(square * x.width, (square + 1) * x.width);
      to.set(part, position * x.width);
    });
    return out;
  }

  // Each square of 2 x 2 pixels becomes one position with four numbers, and back.
  fold(x_t) {
    const out = this.features(this.config.image_size / 2, 4);
    const numbers = this.numbers(out);
    forEachPixel(this.pictures, this.config.image_size, (pixel, square, corner) => {
      numbers[square * 4 + corner] = x_t[pixel];
    });
    return out;
  }

  unfold(x) {
    const numbers = this.numbers(x);
    const picture = new Float32Array(this.pictures * this.config.image_size ** 2);
    forEachPixel(this.pictures, this.config.image_size, (pixel, square, corner) => {
      picture[pixel] = numbers[square * x.width + corner];
    });
    return picture;
  }

  features(side, width) {
    return {at: this.memory.room(this.pictures * side ** 2, width), side, width};
  }

  numbers(x) {
    return this.memory.numbers(x.at, this.rows(x) * x.width);
  }

  rows({side}) {
    return this.pictures * side ** 2;
  }

  each(use) {
    for (let picture = 0; picture < this.pictures; picture++) use(picture);
  }

  has(name) {
    return this.isBlock(name) || `${name}.weight` in this.weights;
  }

  isBlock(name) {
    return `${name}.conv_1.weight` in this.weights;
  }
}

// The address of one picture.
function of({at, side, width}, picture) {
  return at + picture * side ** 2 * width * BYTES;
}

// For pixel after pixel: in which square of 2 x 2 it lies, and in which corner of that.
function forEachPixel(pictures, size, use) {
  for (let pixel = 0; pixel < pictures * size ** 2; pixel++) {
    const x = pixel % size;
    const y = Math.floor(pixel / size); // of all pictures, one below the other
    use(pixel, (y >> 1) * (size / 2) + (x >> 1), (y & 1) * 2 + (x & 1));
  }
}

function headsOf(width) {
  let heads = Math.max(1, Math.floor(width / HEAD_WIDTH));
  while (width % heads) heads--;
  return heads;
}
