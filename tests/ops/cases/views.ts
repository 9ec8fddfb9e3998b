import { cat, F, stack, type DType, type Tensor } from 'castor';
import { sliceBackward, sliceBy } from '../../../runtime/ops/primitives.ts';
import { at, build, indices, map, permute, reshape, sizeOf, take, type Values } from '../../reference/values.ts';
import { cases, everything, floats, numbers, within, type Case, type Result, type Variant } from '../case.ts';

const any = within(-90, 90);
const of = (
  shape: readonly number[],
  run: (x: Tensor) => Result<Tensor>,
  reference: (x: Values) => Result<Values>,
  more: Partial<Variant> = {},
): Variant => ({
  operands: [{ shape, from: any }],
  run,
  reference,
  ...more,
});
const all = (...variants: Variant[]): Case => cases(variants, { dtypes: everything });
const reshaping = (shape: number[], run: (x: Tensor) => Tensor, to: number[]): Variant =>
  of(shape, run, x => reshape(x, to));
const permuting = (shape: number[], run: (x: Tensor) => Tensor, order: number[]): Variant =>
  of(shape, run, x => permute(x, order));

/** Elements first, first + step, ... of an axis. */
const sliced = (x: Values, axis: number, first: number, count: number, step = 1): Values =>
  take(x, x.shape.with(axis, count), index => index.with(axis, first + index[axis]! * step));
const slicing = (
  shape: number[],
  run: (x: Tensor) => Tensor,
  axis: number,
  first: number,
  count: number,
  step = 1,
): Variant => of(shape, run, x => sliced(x, axis, first, count, step));
const parts = (shape: number[], run: (x: Tensor) => Tensor[], axis: number, sizes: number[]): Variant =>
  of(shape, run, x =>
    sizes.map((size, i) =>
      sliced(
        x,
        axis,
        sizes.slice(0, i).reduce((a, b) => a + b, 0),
        size,
      ),
    ),
  );
const without = (x: Values, axis: number, i: number): Values =>
  reshape(sliced(x, axis, i, 1), x.shape.toSpliced(axis, 1));
const expanding = (shape: number[], run: (x: Tensor) => Tensor, to: number[]): Variant =>
  of(shape, run, x => build(to, index => at(x, index)));

const converting = (run: (x: Tensor) => Tensor, result: DType, f: (x: number) => number = x => x): Variant[] => [
  {
    operands: [{ shape: [3, 4], from: within(0, 90) }],
    run,
    reference: x => map(x, f),
    result,
    forwardOnly: result !== 'float64',
  },
  {
    operands: [{ shape: [999], from: within(-120, 120) }],
    run,
    reference: x => map(x, f),
    result,
    forwardOnly: true,
    dtypes: result === 'uint8' ? ['uint8'] : everything,
  },
];
const noView = 'these elements cannot be shown as one axis without a copy';

function joined(axis: number, ...list: Values[]): Values {
  const sizes = list.map(x => x.shape[axis]!);
  const total = sizes.reduce((a, b) => a + b, 0);
  return build(list[0]!.shape.with(axis, total), index => {
    let [part, i] = [0, index[axis]!];
    while (i >= sizes[part]!) i -= sizes[part++]!;
    return at(list[part]!, index.with(axis, i));
  });
}
const operands = (...shapes: number[][]): Variant['operands'] => shapes.map(shape => ({ shape, from: any }));
/** The sum over axes along which a shape was broadcast. */
function summed(x: Values, shape: number[]): Values {
  const data = new Float64Array(sizeOf(shape));
  const places = build(shape, index => index.reduce((place, i, axis) => place * shape[axis]! + i, 0));
  for (const index of indices(x.shape)) data[at(places, index)]! += at(x, index);
  return { shape, data };
}

export const views = {
  reshape: all(
    reshaping([3, 4], x => x.reshape(2, 6), [2, 6]),
    reshaping([2, 3, 4], x => x.reshape([-1, 3]), [8, 3]),
    reshaping([], x => x.reshape(1, 1), [1, 1]),
    reshaping([0, 3], x => x.reshape(3, 0, 2), [3, 0, 2]),
    reshaping([3, 4], x => x.reshape(3, 4), [3, 4]),
  ),
  view: all(
    {
      ...reshaping([3, 4], x => x.view(12), [12]),
      skips: (['transposed', 'sliced', 'expanded'] as const).map(layout => ({ layout, reason: noView })),
    },
    reshaping([3, 4], x => x.view(3, 1, 2, 2), [3, 1, 2, 2]),
    reshaping([1], x => x.view([]), []),
  ),
  flatten: all(
    reshaping([2, 3, 4], x => x.flatten(), [24]),
    reshaping([2, 3, 4], x => x.flatten(1), [2, 12]),
    reshaping([2, 3, 4], x => x.flatten(0, -2), [6, 4]),
    reshaping([], x => x.flatten(), [1]),
  ),
  unflatten: all(
    reshaping([2, 6], x => x.unflatten(1, [2, -1]), [2, 2, 3]),
    reshaping([6, 2], x => x.unflatten(-2, [3, 2]), [3, 2, 2]),
  ),
  permute: all(
    permuting([2, 3, 4], x => x.permute(2, 0, 1), [2, 0, 1]),
    permuting([2, 3, 4], x => x.permute([-2, 2, 0]), [1, 2, 0]),
  ),
  transpose: all(
    permuting([3, 4], x => x.transpose(0, 1), [1, 0]),
    permuting([2, 3, 4], x => x.transpose(-1, 0), [2, 1, 0]),
    permuting([2, 3], x => x.T, [1, 0]),
  ),
  squeeze: all(
    reshaping([1, 3, 1], x => x.squeeze(), [3]),
    reshaping([1, 3, 1], x => x.squeeze(-1), [1, 3]),
    reshaping([1, 3, 1], x => x.squeeze([0, 1]), [3, 1]),
  ),
  unsqueeze: all(
    reshaping([3, 4], x => x.unsqueeze(1), [3, 1, 4]),
    reshaping([3, 4], x => x.unsqueeze(-1), [3, 4, 1]),
    reshaping([], x => x.unsqueeze(0), [1]),
  ),
  expand: all(
    expanding([3, 1], x => x.expand(2, -1, 4), [2, 3, 4]),
    expanding([], x => x.expand([2, 2]), [2, 2]),
    expanding([1, 3], x => x.expand(0, 3), [0, 3]),
  ),
  broadcastTo: all(expanding([3, 1], x => x.broadcastTo([2, 3, 2]), [2, 3, 2])),
  narrow: all(
    slicing([3, 5], x => x.narrow(1, 1, 3), 1, 1, 3),
    slicing([3, 5], x => x.narrow(0, -2, 2), 0, 1, 2),
    slicing([3, 5], x => x.narrow(1, 2, 0), 1, 2, 0),
  ),
  select: all(
    of(
      [3, 4],
      x => x.select(0, 1),
      x => without(x, 0, 1),
    ),
    of(
      [2, 3, 4],
      x => x.select(-2, -1),
      x => without(x, 1, 2),
    ),
  ),
  slice: all(
    slicing([3, 7], x => x.slice(1, 1, 6, 2), 1, 1, 3, 2),
    slicing([3, 7], x => x.slice(1, -2), 1, 5, 2),
    slicing([5, 2], x => x.slice(0, null, null, -2), 0, 4, 3, -2),
    slicing([5], x => x.slice(0, 3, 0, -1), 0, 3, 3, -1),
    slicing([5], x => x.slice(0, 4, 2), 0, 4, 0),
    slicing([5], x => x.slice(0, -99, 99), 0, 0, 5),
  ),
  sliceBy: all(slicing([2, 7], x => sliceBy(x, { axis: 1, start: 6, size: 3, step: -3 }), 1, 6, 3, -3)),
  // Zeros with the input in the middle.
  sliceBackward: all(
    of(
      [2, 3],
      x => sliceBackward(x, { axis: 1, start: 1, size: 3, step: 2, shape: [2, 8] }),
      x => build([2, 8], ([i, j]) => (j! % 2 === 1 && j! < 6 ? at(x, [i!, (j! - 1) / 2]) : 0)),
    ),
    of(
      [2],
      x => sliceBackward(x, { axis: 0, start: 2, size: 2, step: -1, shape: [4] }),
      x => build([4], ([i]) => (i === 1 || i === 2 ? x.data[2 - i!]! : 0)),
    ),
  ),
  split: all(
    parts([5, 2], x => x.split(2), 0, [2, 2, 1]),
    parts([2, 6], x => x.split([1, 0, 5], -1), 1, [1, 0, 5]),
  ),
  chunk: all(
    parts([7], x => x.chunk(3), 0, [3, 3, 1]),
    parts([2, 4], x => x.chunk(2, 1), 1, [2, 2]),
  ),
  unbind: all(
    of(
      [3, 4],
      x => x.unbind(),
      x => [0, 1, 2].map(i => without(x, 0, i)),
    ),
    of(
      [2, 2, 2],
      x => x.unbind(-1),
      x => [0, 1].map(i => without(x, 2, i)),
    ),
  ),
  flip: all(
    of(
      [3, 4],
      x => x.flip(1),
      x => sliced(x, 1, 3, 4, -1),
    ),
    of(
      [2, 3, 4],
      x => x.flip([0, -1]),
      x => sliced(sliced(x, 0, 1, 2, -1), 2, 3, 4, -1),
    ),
  ),
  contiguous: all(
    of(
      [3, 4],
      x => x.contiguous(),
      x => x,
    ),
    of(
      [],
      x => x.contiguous(),
      x => x,
    ),
  ),
  clone: all(
    of(
      [3, 4],
      x => x.clone(),
      x => x,
    ),
    of(
      [2, 3, 4],
      x => x.clone(),
      x => x,
    ),
    of(
      [0, 2],
      x => x.clone(),
      x => x,
    ),
    of(
      [70, 90],
      x => x.clone(),
      x => x,
      { forwardOnly: true },
    ),
  ),
  to: cases(
    [
      ...floats.flatMap(dtype => converting(x => x.to(dtype), dtype)),
      ...(['int32', 'int64', 'uint8'] as const).flatMap(dtype => converting(x => x.to(dtype), dtype, Math.trunc)),
      ...converting(x => x.to('bool'), 'bool'),
      {
        operands: operands([3], [2]),
        run: (x, y) => x.to(y.to('float64')),
        reference: x => x,
        result: 'float64',
        forwardOnly: true,
      },
    ],
    { dtypes: everything },
  ),
  float: cases(
    converting(x => x.float(), 'float32'),
    { dtypes: everything },
  ),
  half: cases(
    converting(x => x.half(), 'float16'),
    { dtypes: everything },
  ),
  double: cases(
    converting(x => x.double(), 'float64'),
    { dtypes: everything },
  ),
  long: cases(
    converting(x => x.long(), 'int64', Math.trunc),
    { dtypes: everything, smooth: 0 },
  ),
  cat: all(
    {
      operands: operands([2, 3], [2, 1], [2, 2]),
      run: (...list) => cat(list, 1),
      reference: (...list) => joined(1, ...list),
    },
    {
      operands: operands([2, 3], [0, 3], [1, 3]),
      run: (...list) => F.cat(list, -2),
      reference: (...list) => joined(0, ...list),
    },
    { operands: operands([3]), run: x => cat([x, x]), reference: x => joined(0, x, x) },
  ),
  stack: cases(
    [
      {
        operands: operands([2, 3], [2, 3]),
        run: (x, y) => stack([x, y], -1),
        reference: (x, y) => build([2, 3, 2], index => at([x, y][index[2]!]!, index.slice(0, 2))),
      },
      {
        operands: operands([], [], []),
        run: (...list) => F.stack(list),
        reference: (...list) => build([3], ([i]) => list[i!]!.data[0]!),
      },
    ],
    { dtypes: numbers },
  ),
} satisfies Record<string, Case>;
