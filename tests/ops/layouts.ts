import { fromTypedArray, type Device, type DType, type Tensor } from 'castor';
import { build, at, permute, sizeOf, type Values } from '../reference/values.ts';

/** The value between the elements of a strided tensor, which must never be read. */
const garbage = (dtype: DType): number => (dtype === 'bool' ? 1 : dtype.includes('float') ? NaN : 111);
const make = (v: Values, dtype: DType, device: Device): Tensor => fromTypedArray(v.data, v.shape, { dtype, device });
const backwards = (shape: readonly number[]): number[] => shape.map((_, axis) => shape.length - 1 - axis);

interface Layout {
  /** Whether the layout is possible for a shape. */
  fits(shape: readonly number[]): boolean;
  make(v: Values, dtype: DType, device: Device): Tensor;
  /** The values for which the layout is possible. */
  values?(v: Values): Values;
}

/** Layouts of the elements of a tensor in memory. */
export const layouts = {
  contiguous: { fits: () => true, make },
  transposed: {
    fits: shape => shape.length > 1,
    make: (v, dtype, device) => make(permute(v, backwards(v.shape)), dtype, device).permute(backwards(v.shape)),
  },
  /** Every second element of the last axis, from the second; without the first position of the first axis. */
  sliced: {
    fits: shape => shape.length > 0,
    make: (v, dtype, device) => {
      const [last, first] = [v.shape.length - 1, v.shape.length > 1 ? 1 : 0];
      const size = v.shape.with(last, 2 * v.shape[last]! + 1);
      const wide = build(first ? size.with(0, size[0]! + 1) : size, index => {
        const real = (first === 0 || index[0]! > 0) && index[last]! % 2 === 1;
        const inside = index.with(last, (index[last]! - 1) / 2);
        return real ? at(v, first ? inside.with(0, index[0]! - 1) : inside) : garbage(dtype);
      });
      const t = make(wide, dtype, device).slice(last, 1, null, 2);
      return first ? t.slice(0, 1) : t;
    },
  },
  /** Negative steps along every axis. */
  reversed: {
    fits: shape => shape.length > 0,
    make: (v, dtype, device) =>
      v.shape.reduce(
        (t, _, axis) => t.slice(axis, null, null, -1),
        make({ shape: v.shape, data: v.data.toReversed() }, dtype, device),
      ),
  },
  /** One position of the first axis, repeated with stride 0. */
  expanded: {
    fits: shape => shape.length > 0 && sizeOf(shape) > 0,
    make: (v, dtype, device) =>
      make(
        build(v.shape.with(0, 1), index => at(v, index)),
        dtype,
        device,
      ).expand(v.shape),
    values: v => build(v.shape, index => at(v, index.with(0, 0))),
  },
} as const satisfies Record<string, Layout>;

export type LayoutName = keyof typeof layouts;
export const layoutNames = Object.keys(layouts) as LayoutName[];
export const layoutOf = (name: LayoutName): Layout => layouts[name];
