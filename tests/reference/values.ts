/** The tensors of the reference: float64 values in row-major order. Nothing here uses Castor. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}
export type Index = readonly number[];

export const sizeOf = (shape: Index): number => shape.reduce((n, size) => n * size, 1);

/** Every index of a shape, last axis fastest. */
export function* indices(shape: Index): Generator<number[]> {
  const count = sizeOf(shape);
  const index = shape.map(() => 0);
  for (let i = 0; i < count; i++) {
    yield [...index];
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis]! === shape[axis]; axis--) index[axis] = 0;
  }
}

/** Values from a function of the index. */
export function build(shape: Index, f: (index: number[]) => number): Values {
  return { shape, data: Float64Array.from(indices(shape), f) };
}
export const constant = (shape: Index, value: number): Values => build(shape, () => value);
export const scalar = (value: number): Values => constant([], value);

/** The element at an index of a shape to which x is broadcast. */
export function at(x: Values, index: Index): number {
  const lead = index.length - x.shape.length;
  let place = 0;
  for (let axis = 0; axis < x.shape.length; axis++) {
    const size = x.shape[axis]!;
    place = place * size + (size === 1 ? 0 : index[lead + axis]!);
  }
  return x.data[place]!;
}

export const map = (x: Values, f: (value: number) => number): Values => ({ shape: x.shape, data: x.data.map(f) });

export function broadcastShape(...shapes: Index[]): number[] {
  const rank = Math.max(...shapes.map(shape => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map(shape => shape[axis - rank + shape.length] ?? 1);
    return sizes.find(size => size !== 1) ?? 1;
  });
}

/** Applies f to the elements of several values, which are broadcast. */
export const zip = (f: (...values: number[]) => number, ...xs: Values[]): Values =>
  build(broadcastShape(...xs.map(x => x.shape)), index => f(...xs.map(x => at(x, index))));

export const reshape = (x: Values, shape: Index): Values => ({ shape, data: x.data });
export const permute = (x: Values, order: Index): Values =>
  build(
    order.map(axis => x.shape[axis]!),
    index =>
      at(
        x,
        order.map((_, axis) => index[order.indexOf(axis)]!),
      ),
  );
/** The element of x at where(index), for every index of a shape. */
export const take = (x: Values, shape: Index, where: (index: number[]) => number[]): Values =>
  build(shape, index => at(x, where(index)));

/** Replaces each line along an axis by another, whose length may differ but must be the same for all. */
export function alongAxis(x: Values, axis: number, f: (line: number[]) => ArrayLike<number>): Values {
  const outer = x.shape.with(axis, 1);
  const lines = new Map<string, ArrayLike<number>>();
  const place = (index: Index): string => String(index.with(axis, 0));
  for (const index of indices(outer))
    lines.set(place(index), f(Array.from({ length: x.shape[axis]! }, (_, i) => at(x, index.with(axis, i)))));
  const length = lines.values().next().value?.length ?? f(Array<number>(x.shape[axis]!).fill(0)).length;
  return build(x.shape.with(axis, length), index => lines.get(place(index))![index[axis]!]!);
}

/** Reduces all elements over some axes to one. */
export function fold(x: Values, axes: Index, keepdim: boolean, f: (list: number[]) => number): Values {
  const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const inner = x.shape.map((size, axis) => (axes.includes(axis) ? size : 1));
  const out = build(kept, index =>
    f(
      [...indices(inner)].map(step =>
        at(
          x,
          index.map((i, axis) => i + step[axis]!),
        ),
      ),
    ),
  );
  return keepdim
    ? out
    : reshape(
        out,
        x.shape.filter((_, axis) => !axes.includes(axis)),
      );
}
