/**
 * Elementwise functions, losses and views at sizes 0 and 1 and at rank 0: gradients have the shape of their tensor,
 * with and without a graph of their own, and backward does not fail. The values at such shapes are tested in
 * tests/ops/shapes.test.ts.
 */
import { describe, expect, test } from 'bun:test';
import { autograd, CastorError, F, rand, stack, cat, tidy, type Device, type Shape, type Tensor } from 'castor';
import { table } from '../../runtime/ops/table.ts';
import { devices, onEmulator } from '../setup.ts';

const shapes: readonly Shape[] = [
  [],
  [0],
  [1],
  [2],
  [0, 2],
  [2, 0],
  [1, 2],
  [2, 1],
  [0, 0],
  [2, 0, 3],
  [2, 1, 3],
  [0, 1, 2, 1],
];
type Call = (...operands: Tensor[]) => Tensor | readonly Tensor[];

const rowsOf = (kind: 'unary' | 'binary'): string[] =>
  Object.entries(table)
    .filter(([, row]) => row.kind === kind && row.method)
    .map(([name]) => name);
type Method = (this: Tensor, ...args: unknown[]) => Tensor;
const method = (x: Tensor, name: string): Method => (x as unknown as Record<string, Method>)[name]!;

const constant = (x: Tensor): Tensor => x.detach();
const ofOne: Readonly<Record<string, Call>> = {
  ...Object.fromEntries(rowsOf('unary').map(name => [name, (x: Tensor) => method(x, name).call(x)])),
  ...Object.fromEntries(
    rowsOf('binary').map(name => [`${name} of a number`, (x: Tensor) => method(x, name).call(x, 2)]),
  ),
  gelu: x => x.gelu(),
  'gelu with tanh': x => F.gelu(x, { approximate: 'tanh' }),
  softplus: x => x.softplus(),
  leakyRelu: x => x.leakyRelu(0.1),
  elu: x => x.elu(),
  clamp: x => x.clamp({ min: 0.3, max: 0.6 }),
  where: x => x.where(x.gt(0.5), 0),
  maskedFill: x => x.maskedFill(x.gt(0.5), 1),
  dropout: x => x.dropout(0.5),
  lerp: x => F.lerp(x, constant(x), 0.3),
  addcmul: x => F.addcmul(x, constant(x), constant(x)),
  addcdiv: x => F.addcdiv(x, constant(x), constant(x)),
  mseLoss: x => F.mseLoss(x, constant(x).mul(2)),
  l1Loss: x => F.l1Loss(x, constant(x).mul(2)),
  binaryCrossEntropy: x => F.binaryCrossEntropy(x, constant(x)),
  binaryCrossEntropyWithLogits: x => F.binaryCrossEntropyWithLogits(x, constant(x)),
  flatten: x => x.flatten(),
  transpose: x => x.T.contiguous(),
  squeeze: x => x.squeeze(),
  reshape: x => x.reshape([x.numel]),
  'to float64': x => x.double(),
  stack: x => stack([x, x]),
  tril: x => x.tril(),
};
const alongAxis: Readonly<Record<string, (x: Tensor, axis: number) => Tensor | readonly Tensor[]>> = {
  flip: (x, axis) => x.flip(axis),
  unsqueeze: (x, axis) => x.unsqueeze(axis),
  select: (x, axis) => x.select(axis, 0),
  slice: (x, axis) => x.slice(axis, 0, 1),
  'slice by 2': (x, axis) => x.slice(axis, null, null, 2),
  'narrow to nothing': (x, axis) => x.narrow(axis, 0, 0),
  chunk: (x, axis) => x.chunk(2, axis),
  unbind: (x, axis) => x.unbind(axis),
  split: (x, axis) => x.split(1, axis),
  stack: (x, axis) => stack([x, x], axis),
  cat: (x, axis) => cat([x, x], axis),
};

describe.each([...devices])('sizes 0 and 1 on %s', device => {
  const leaf = (shape: Shape): Tensor =>
    rand(shape, { device: device as Device })
      .mul(0.5)
      .add(0.25)
      .detach()
      .requiresGrad_();
  /** Describes how the gradients of a call differ from PyTorch's; null if they do not. A refused call has none. */
  function problem(call: Call, ...sizes: Shape[]): string | null {
    const leaves = sizes.map(leaf);
    let outputs: Tensor[];
    try {
      outputs = [call(...leaves)].flat().filter(out => out.requiresGrad) as Tensor[];
    } catch (error) {
      return error instanceof CastorError ? null : String(error);
    }
    if (outputs.length === 0) return null;
    const sumOf = (tensors: readonly Tensor[]): Tensor => tensors.map(t => t.sum()).reduce((a, b) => a.add(b));
    const gradients = (total: Tensor, createGraph: boolean): (Tensor | null)[] =>
      autograd.grad(total, leaves, { createGraph, retainGraph: true, allowUnused: true });
    const plain = gradients(sumOf(outputs), false);
    const first = gradients(sumOf(outputs), true);
    const smooth = first.filter(g => g !== null && g.requiresGrad) as Tensor[];
    const second = smooth.length > 0 ? gradients(sumOf(smooth.map(g => g.square())), false) : [];
    const wrong = [plain, first, second].flatMap(list =>
      list.flatMap((g, i) => (g === null || String(g.shape) === String(leaves[i]!.shape) ? [] : `[${g.shape}]`)),
    );
    return wrong.length === 0 ? null : `a gradient has shape ${wrong[0]}`;
  }
  const trouble: string[] = [];
  const attempt = (name: string, call: Call, ...sizes: Shape[]): void => {
    let what: string | null;
    try {
      what = tidy(() => problem(call, ...sizes));
    } catch (error) {
      what = String(error);
    }
    if (what !== null) trouble.push(`${name} of ${JSON.stringify(sizes)}: ${what}`);
  };

  test('functions of one tensor', () => {
    for (const [name, call] of Object.entries(ofOne)) for (const shape of shapes) attempt(name, call, shape);
    expect(trouble.splice(0)).toEqual([]);
  });
  test('functions along an axis', () => {
    for (const [name, call] of Object.entries(alongAxis))
      for (const shape of shapes)
        for (let axis = -Math.max(1, shape.length); axis < Math.max(1, shape.length); axis++)
          attempt(`${name} ${axis}`, x => call(x, axis), shape);
    expect(trouble.splice(0)).toEqual([]);
  });
  test('functions of two tensors, broadcast', () => {
    for (const name of rowsOf('binary').slice(0, onEmulator ? 4 : undefined))
      for (const a of shapes) for (const b of shapes) attempt(name, (x, y) => method(x!, name).call(x!, y), a, b);
    expect(trouble.splice(0)).toEqual([]);
  });
});
