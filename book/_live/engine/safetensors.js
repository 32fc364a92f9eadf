// Weights as a safetensors file has them: how long the names are, names and places as JSON, and the
// numbers, here of 16 bits each. The configuration stands with the names, see io/checkpoint.py.

/** {config, tensors} of a file; each tensor is {shape, values}, widened to 32 bits. */
export function readSafetensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const {__metadata__: about, ...places} = header;
  const tensors = {};
  for (const [name, {dtype, shape, data_offsets: [start, end]}] of Object.entries(places)) {
    if (dtype !== "F16") throw new Error(`${name} has numbers of type ${dtype}, not F16`);
    const halves = new Uint16Array(buffer.slice(8 + length + start, 8 + length + end));
    const values = new Float32Array(halves.length);
    for (let k = 0; k < halves.length; k++) values[k] = WIDENED[halves[k]];
    tensors[name.replace("network.", "")] = {shape, values};
  }
  return {config: JSON.parse(about.config), tensors};
}

/** A number of 16 bits: one for the sign, five for the exponent, ten for the fraction. */
export function widened(half) {
  const sign = half >> 15 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = (half & 1023) / 1024;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

const WIDENED = Float32Array.from({length: 2 ** 16}, (_, half) => widened(half));

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
