import { at, build, indices, type Values } from './values.ts';

const wrap = (i: number, size: number): number => (i < 0 ? i + size : i);

/** out[.., i, ..] = x[.., index[.., i, ..], ..]. */
export const gather = (x: Values, axis: number, index: Values): Values =>
  build(index.shape, here => at(x, here.with(axis, wrap(at(index, here), x.shape[axis]!))));

export const indexSelect = (x: Values, axis: number, index: Values): Values =>
  build(x.shape.with(axis, index.data.length), here =>
    at(x, here.with(axis, wrap(index.data[here[axis]!]!, x.shape[axis]!))),
  );

/** A copy of x with source written, or added, where gather with this index would read. */
export function scatter(x: Values, axis: number, index: Values, source: Values, add: boolean): Values {
  const out = x.data.slice();
  const strides = x.shape.map((_, i) => x.shape.slice(i + 1).reduce((n, size) => n * size, 1));
  for (const here of indices(index.shape)) {
    const target = here.with(axis, wrap(at(index, here), x.shape[axis]!));
    const place = target.reduce((sum, i, a) => sum + i * strides[a]!, 0);
    out[place] = (add ? out[place]! : 0) + at(source, here);
  }
  return { shape: x.shape, data: out };
}

/** The same with an index of one axis that names whole positions. */
export function indexPut(x: Values, axis: number, index: Values, source: Values, add: boolean): Values {
  const spread = build(source.shape, here => index.data[here[axis]!]!);
  return scatter(x, axis, spread, source, add);
}
