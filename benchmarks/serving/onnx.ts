/** Writes small models as ONNX files, for comparisons with onnxruntime: protocol buffers of onnx.proto3, with the few fields that they need. */

type Bytes = readonly number[] | Uint8Array;
const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];

function joined(parts: readonly Bytes[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A field that holds bytes, a text or a message, and one that holds a whole number. */
const field = (number: number, value: Bytes | string): Uint8Array => {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
  return joined([varint(number * 8 + 2), varint(bytes.length), bytes]);
};
const count = (number: number, value: number): Uint8Array => joined([varint(number * 8), varint(value)]);

const FLOAT = 1;
const tensor = (name: string, shape: readonly number[], values: Float32Array): Uint8Array =>
  joined([
    ...shape.map(size => count(1, size)),
    count(2, FLOAT),
    field(8, name),
    field(9, new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  ]);

/** An input or output of float32. A size that is a text may have any value. */
function valueInfo(name: string, shape: readonly (number | string)[]): Uint8Array {
  const sizes = shape.map(size => field(1, typeof size === 'number' ? count(1, size) : field(2, size)));
  return joined([field(1, name), field(2, field(1, joined([count(1, FLOAT), field(2, joined(sizes))])))]);
}

const node = (
  type: string,
  inputs: readonly string[],
  output: string,
  attributes: readonly Uint8Array[] = [],
): Uint8Array =>
  joined([
    ...inputs.map(input => field(1, input)),
    field(2, output),
    field(4, type),
    ...attributes.map(attribute => field(5, attribute)),
  ]);
const INT = 2;
const intAttribute = (name: string, value: number): Uint8Array =>
  joined([field(1, name), count(3, value), count(20, INT)]);

/** A linear layer: its weight (out, in) and its bias. */
export interface LinearWeights {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/** Returns the file of a model of linear layers with ReLU between them. Its input is x (batch, in), its output y. */
export function mlpModel(layers: readonly LinearWeights[]): Uint8Array {
  const last = layers.length - 1;
  const parts: Uint8Array[] = [];
  layers.forEach(({ weight, bias }, i) => {
    const [input, output] = [i === 0 ? 'x' : `h${i}`, i === last ? 'y' : `z${i}`];
    parts.push(field(1, node('Gemm', [input, `w${i}`, `b${i}`], output, [intAttribute('transB', 1)])));
    if (i < last) parts.push(field(1, node('Relu', [output], `h${i + 1}`)));
  });
  const sizes = layers.map(({ weight, bias }) => [bias.length, weight.length / bias.length] as const);
  const graph = joined([
    ...parts,
    field(2, 'mlp'),
    ...layers.flatMap(({ weight, bias }, i) => [
      field(5, tensor(`w${i}`, sizes[i]!, weight)),
      field(5, tensor(`b${i}`, [bias.length], bias)),
    ]),
    field(11, valueInfo('x', ['batch', sizes[0]![1]])),
    field(12, valueInfo('y', ['batch', sizes[last]![0]])),
  ]);
  const opset = joined([field(1, ''), count(2, 13)]);
  return joined([count(1, 8), field(2, 'castor'), field(7, graph), field(8, opset)]);
}
