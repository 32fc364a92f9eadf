// The memory that the kernels work in. It holds the weights first; what a call needs comes after them,
// and is forgotten with the next call.
import wasm from "./kernels.js";
import {fromBase64} from "./safetensors.js";

const PAGE = 65536;
const BYTES = 4; // of a number

export class Memory {
  constructor() {
    const memory = new WebAssembly.Memory({initial: 1});
    const compiled = new WebAssembly.Module(fromBase64(wasm));
    this.memory = memory;
    this.kernels = new WebAssembly.Instance(compiled, {env: {memory}}).exports;
    this.free = this.kernels.start();
    this.kept = this.free;
  }

  /** Keep what is there now. */
  keep() {
    this.kept = this.free;
  }

  /** Forget what is not kept. */
  forget() {
    this.free = this.kept;
  }

  /** The address of room for rows of numbers, and for three rows more, see `product`. */
  room(rows, width) {
    const address = this.free;
    this.free += Math.ceil(((rows + 3) * width) / 4) * 4 * BYTES;
    const missing = this.free - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return address;
  }

  /** The numbers at an address, to read and to write, until more room is asked for. */
  numbers(address, count) {
    return new Float32Array(this.memory.buffer, address, count);
  }

  /** The address of a copy of these numbers. */
  put(values) {
    const address = this.room(1, values.length);
    this.numbers(address, values.length).set(values);
    return address;
  }

  /** The address of weights (outputs, inputs, height, width), or (outputs, inputs), as `product` wants
   * them: outputs by eights, and of each eight a row for every input of every place. */
  putWeights([outputs, inputs, ...window], values) {
    const places = window.reduce((product, side) => product * side, 1);
    const rows = places * inputs;
    const panels = new Float32Array(Math.ceil(outputs / 8) * rows * 8);
    let from = 0;
    for (let output = 0; output < outputs; output++)
      for (let input = 0; input < inputs; input++)
        for (let place = 0; place < places; place++) {
          const row = (output >> 3) * rows + place * inputs + input;
          panels[row * 8 + (output & 7)] = values[from++];
        }
    return this.put(panels);
  }
}
