import { F, type DType } from 'castor';
import * as primitives from '../../../runtime/ops/primitives.ts';
import { float32 } from '../../../runtime/tensor/dtype.ts';
import { largest, mean, sum } from '../../reference/lists.ts';
import {
  attention,
  conv2d,
  convInputGrad,
  convWeightGrad,
  matmul,
  pool,
  type Window,
} from '../../reference/products.ts';
import { build, map, permute, reshape, zip, type Values } from '../../reference/values.ts';
import { cases, floats, integers, truth, within, type Case, type Operand, type Variant } from '../case.ts';

const any = within(-2, 2);
const x = (...shape: number[]): Operand => ({ shape, from: any });
const swap = (v: Values): Values =>
  permute(
    v,
    v.shape.map((_, axis) => (axis < v.shape.length - 2 ? axis : 2 * v.shape.length - 3 - axis)),
  );

const product = (a: number[], b: number[], more: Partial<Variant> = {}): Variant => ({
  operands: [x(...a), x(...b)],
  run: (s, t) => s.matmul(t),
  reference: (s, t) => {
    const [left, right] = [a.length === 1 ? reshape(s, [1, a[0]!]) : s, b.length === 1 ? reshape(t, [b[0]!, 1]) : t];
    const out = matmul(left, right);
    return reshape(
      out,
      out.shape.filter(
        (_, axis) =>
          !(a.length === 1 && axis === out.shape.length - 2) && !(b.length === 1 && axis === out.shape.length - 1),
      ),
    );
  },
  ...more,
});
const linear = (input: number[], weight: number[], bias: boolean, forwardOnly = false): Variant => ({
  operands: [x(...input), x(...weight), ...(bias ? [x(weight[0]!)] : [])],
  run: (s, w, b) => F.linear(s, w, b),
  reference: (s, w, b) => {
    const out = matmul(s.shape.length === 1 ? reshape(s, [1, s.shape[0]!]) : s, swap(w));
    const full = b ? zip((y, c) => y + c, out, b) : out;
    return s.shape.length === 1 ? reshape(full, [w.shape[0]!]) : full;
  },
  forwardOnly,
});

/** The dtype in which sums are computed: float32 for 16-bit dtypes. */
const sums = (dtype: DType): DType => (dtype === 'float64' ? dtype : 'float32');
/** A product in the dtype of its operands, and one that writes its sums without rounding. */
const inBoth = ({ wide, ...own }: Variant & { wide: Variant['run'] }): Variant[] => [
  own,
  { ...own, run: wide, result: sums },
];

const plain: Window = { stride: [1, 1], padding: [0, 0], dilation: [1, 1] };
const convs: readonly { input: number[]; weight: number[]; bias: boolean; window: Window }[] = [
  { input: [2, 3, 5, 4], weight: [4, 3, 3, 2], bias: true, window: plain },
  {
    input: [1, 2, 6, 7],
    weight: [3, 2, 3, 3],
    bias: false,
    window: { stride: [2, 3], padding: [1, 2], dilation: [1, 1] },
  },
  {
    input: [2, 2, 7, 6],
    weight: [2, 2, 2, 3],
    bias: true,
    window: { stride: [1, 2], padding: [2, 1], dilation: [3, 2] },
  },
  { input: [1, 4, 4, 5], weight: [6, 2, 3, 2], bias: true, window: { ...plain, padding: [1, 0], groups: 2 } },
  { input: [1, 3, 4, 4], weight: [3, 1, 3, 3], bias: false, window: { ...plain, padding: [1, 1], groups: 3 } },
  { input: [2, 5, 3, 3], weight: [4, 5, 1, 1], bias: true, window: plain },
  { input: [0, 2, 3, 3], weight: [2, 2, 2, 2], bias: true, window: plain },
];
const conv1ds = [
  { options: {}, window: plain },
  { options: { stride: 2, padding: 3, dilation: 2 }, window: { stride: [1, 2], padding: [0, 3], dilation: [1, 2] } },
  { options: { groups: 2, padding: 1 }, window: { ...plain, padding: [0, 1], groups: 2 } },
] as const;

const windows: readonly { size: number[]; kernel: [number, number]; window: Window }[] = [
  { size: [2, 2, 4, 6], kernel: [2, 2], window: { ...plain, stride: [2, 2] } },
  { size: [1, 2, 7, 5], kernel: [3, 2], window: { ...plain, stride: [2, 1], padding: [1, 1] } },
  { size: [1, 1, 5, 5], kernel: [3, 3], window: { ...plain, padding: [1, 0] } },
];
const dilated = [
  ...windows,
  {
    size: [1, 2, 7, 8],
    kernel: [2, 3] as [number, number],
    window: { stride: [2, 1], padding: [1, 1], dilation: [3, 2] } as Window,
  },
];
const place = (inside: number[], places: number[]): number => places[inside.indexOf(largest(inside))]!;

const transposes = { ...plain, stride: [2, 1], padding: [1, 0], groups: 2 } as const;
const sizes = { input: [2, 4, 5, 4], weight: [6, 2, 3, 2], output: [2, 6, 3, 3] };

const masked = (m: Values): Values => map(m, keep => (keep ? 0 : -Infinity));
/** A mask that hides some keys from every query, but never all of them. */
const keeps = (...shape: number[]): Operand => ({
  shape,
  from: (random, dtype, i) => (i % shape.at(-1)! === 0 ? 1 : truth(random, dtype, i)),
  dtype: 'bool',
});
const root = (v: Values): number => 1 / Math.sqrt(v.shape.at(-1)!);
const lead = (v: Values): Values => reshape(v, [...Array<number>(4 - v.shape.length).fill(1), ...v.shape]);
const qkv = (b: number[], l: number, s: number, e: number, f: number): Operand[] => [
  x(...b, l, e),
  x(...b, s, e),
  x(...b, s, f),
];

export const products = {
  matmul: cases(
    [
      product([3, 4], [4, 5]),
      product([2, 3, 4], [4, 2]),
      product([2, 1, 3, 2], [3, 2, 4]),
      product([4], [4, 3]),
      product([2, 3, 4], [4]),
      product([5], [5]),
      product([0, 3], [3, 2]),
      product([2, 0], [0, 3]),
      product([37, 70], [70, 45], { forwardOnly: true }),
      product([2, 17, 33], [2, 33, 40], { forwardOnly: true }),
    ],
    { dtypes: [...floats, ...integers], units: 32, scale: 40 },
  ),
  matmulIn: cases(
    [
      product([3, 4], [4, 5]),
      product([2, 1, 3, 2], [3, 2, 4]),
      product([2, 0], [0, 3]),
      product([37, 70], [70, 45], { forwardOnly: true }),
      product([3, 270], [270, 40], { forwardOnly: true }),
    ].map(variant => ({ ...variant, run: (s, t) => primitives.matmulIn(s, t, float32) })),
    { result: sums, units: 32, scale: 40 },
  ),
  linear: cases(
    [
      linear([3, 4], [5, 4], true),
      linear([2, 3, 4], [2, 4], false),
      linear([4], [3, 4], true),
      linear([0, 4], [3, 4], true),
      linear([33, 65], [40, 65], true, true),
    ],
    {
      units: 32,
      scale: 40,
    },
  ),
  conv2d: cases(
    convs.map(({ input, weight, bias, window }) => ({
      operands: [x(...input), x(...weight), ...(bias ? [x(weight[0]!)] : [])],
      run: (s, w, b) => F.conv2d(s, w, b, window),
      reference: (s, w, b) => conv2d(s, w, b ?? null, window),
    })),
    { units: 32, scale: 20 },
  ),
  conv1d: cases(
    conv1ds.map(({ options, window }) => ({
      operands: [x(2, 4, 8), x(4, 'groups' in options ? 2 : 4, 3), x(4)],
      run: (s, w, b) => F.conv1d(s, w, b, options),
      reference: (s, w, b) => {
        const out = conv2d(reshape(s, s.shape.toSpliced(2, 0, 1)), reshape(w, w.shape.toSpliced(2, 0, 1)), b, window);
        return reshape(out, out.shape.toSpliced(2, 1));
      },
    })),
    { units: 32, scale: 20 },
  ),
  convolutionBy: cases(
    inBoth({
      operands: [x(...sizes.input), x(...sizes.weight)],
      run: (s, w) => primitives.convolutionBy(s, w, transposes),
      wide: (s, w) => primitives.convolutionBy(s, w, { ...transposes, dtype: float32 }),
      reference: (s, w) => conv2d(s, w, null, transposes),
    }),
    { units: 32, scale: 20 },
  ),
  convInputGrad: cases(
    inBoth({
      operands: [x(...sizes.output), x(...sizes.weight)],
      run: (g, w) => primitives.convInputGrad(g, w, { ...transposes, shape: sizes.input }),
      wide: (g, w) => primitives.convInputGrad(g, w, { ...transposes, shape: sizes.input, dtype: float32 }),
      reference: (g, w) => convInputGrad(g, w, sizes.input, transposes),
    }),
    { units: 32, scale: 20 },
  ),
  convWeightGrad: cases(
    inBoth({
      operands: [x(...sizes.input), x(...sizes.output)],
      run: (s, g) => primitives.convWeightGrad(s, g, { ...transposes, shape: sizes.weight }),
      wide: (s, g) => primitives.convWeightGrad(s, g, { ...transposes, shape: sizes.weight, dtype: float32 }),
      reference: (s, g) => convWeightGrad(s, g, sizes.weight, transposes),
    }),
    { units: 32, scale: 40 },
  ),

  maxPool2d: cases(
    dilated.map(({ size, kernel, window }) => ({
      operands: [x(...size)],
      run: s => F.maxPool2d(s, kernel, window),
      reference: s => pool(s, kernel, window, largest),
    })),
  ),
  maxPool2dWithIndices: cases(
    dilated.map(({ size, kernel, window }) => ({
      operands: [x(...size)],
      run: s => {
        const { values, indices } = F.maxPool2dWithIndices(s, kernel, window);
        return [values, indices];
      },
      reference: s => [pool(s, kernel, window, largest), pool(s, kernel, window, place)],
    })),
    { result: ['same', 'int64'] },
  ),
  avgPool2d: cases(
    windows.flatMap(({ size, kernel, window: { stride, padding } }) =>
      [true, false].map(countIncludePad => ({
        operands: [x(...size)],
        run: s => F.avgPool2d(s, kernel, { stride, padding, countIncludePad }),
        reference: s =>
          pool(s, kernel, { ...plain, stride, padding }, inside =>
            countIncludePad ? sum(inside) / (kernel[0] * kernel[1]) : mean(inside),
          ),
      })),
    ),
    { scale: 2 },
  ),
  // The gradient distributes the average of each window evenly over it.
  avgPoolBackward: cases(
    {
      operands: [x(1, 2, 2, 3)],
      run: g =>
        primitives.avgPoolBackward(g, {
          kernel: [2, 2],
          stride: [2, 1],
          padding: [0, 0],
          dilation: [1, 1],
          countIncludePad: true,
          shape: [1, 2, 4, 4],
        }),
      reference: g =>
        build([1, 2, 4, 4], ([, c, row, col]) => {
          const from = [col! - 1, col!].filter(i => i >= 0 && i < 3);
          return sum(from.map(i => g.data[(c! * 2 + Math.floor(row! / 2)) * 3 + i]! / 4));
        }),
    },
    { scale: 2 },
  ),

  scaledDotProductAttention: cases(
    [
      {
        operands: qkv([2, 2], 3, 4, 4, 5),
        run: (q, k, v) => F.scaledDotProductAttention(q, k, v),
        reference: (q, k, v) => attention(q, k, v, root(q), null, false),
      },
      {
        operands: qkv([1, 2], 4, 4, 3, 3),
        run: (q, k, v) => F.scaledDotProductAttention(q, k, v, { causal: true, scale: 0.7 }),
        reference: (q, k, v) => attention(q, k, v, 0.7, null, true),
      },
      {
        operands: [...qkv([2, 1], 3, 4, 2, 2), keeps(3, 4)],
        run: (q, k, v, mask) => F.scaledDotProductAttention(q, k, v, { mask }),
        reference: (q, k, v, m) => attention(q, k, v, root(q), masked(m), false),
      },
      {
        operands: [...qkv([1, 2], 3, 4, 2, 2), x(2, 1, 4)],
        run: (q, k, v, mask) => F.scaledDotProductAttention(q, k, v, { mask }),
        reference: (q, k, v, m) => attention(q, k, v, root(q), m, false),
      },
      {
        operands: qkv([3], 2, 3, 2, 2),
        run: (q, k, v) => F.scaledDotProductAttention(q, k, v),
        reference: (q, k, v) => attention(q, k, v, root(q), null, false),
      },
      {
        operands: qkv([], 3, 3, 2, 2),
        run: (q, k, v) => F.scaledDotProductAttention(q, k, v, { causal: true }),
        reference: (q, k, v) => reshape(attention(lead(q), lead(k), lead(v), root(q), null, true), [3, 2]),
      },
      {
        operands: qkv([1, 2], 70, 90, 16, 8),
        run: (q, k, v) => F.scaledDotProductAttention(q, k, v),
        reference: (q, k, v) => attention(q, k, v, root(q), null, false),
        forwardOnly: true,
      },
      {
        operands: qkv([1, 1], 70, 70, 8, 8),
        run: (q, k, v) => F.scaledDotProductAttention(q, k, v, { causal: true }),
        reference: (q, k, v) => attention(q, k, v, root(q), null, true),
        forwardOnly: true,
      },
    ],
    // Tensor cores take probabilities rounded to the dtype of the values.
    { units: 64, scale: 4, roundings: 2 },
  ),
} satisfies Record<string, Case>;
