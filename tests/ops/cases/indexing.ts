import { F, type Tensor } from 'castor';
import * as reference from '../../reference/indexing.ts';
import { at, build, reshape, take, type Values } from '../../reference/values.ts';
import { below, cases, everything, given, numbers, within, type Case, type Operand, type Variant } from '../case.ts';

const any = within(-90, 90);
const x = (...shape: number[]): Operand => ({ shape, from: any });
const ids = (size: number, ...shape: number[]): Operand => ({ shape, from: below(size), dtype: 'int64' });
const negative = (size: number, ...shape: number[]): Operand => ({ shape, from: below(size, -size), dtype: 'int32' });
/** Each position once along the last axis. */
const distinct = (...shape: number[]): Operand => ({ shape, from: given(2, 0, 3), dtype: 'int64' });

const view = (
  shape: number[],
  run: (t: Tensor) => Tensor,
  to: number[],
  where: (index: number[]) => number[],
): Variant => ({
  operands: [x(...shape)],
  run,
  reference: v => take(v, to, where),
});
/** Writes to a copy of the first operand. */
const writing = (
  run: (t: Tensor, value: Tensor) => void,
  f: (v: Values, value: Values) => Values,
  shape: number[],
  value: number[],
): Variant => ({
  operands: [x(...shape), x(...value)],
  run: (t, source) => {
    const copy = t.clone();
    run(copy, source);
    return copy;
  },
  reference: f,
  forwardOnly: true,
});

export const indexing = {
  gather: cases(
    [
      {
        operands: [x(3, 4), ids(4, 3, 2)],
        run: (t, i) => t.gather(1, i),
        reference: (t, i) => reference.gather(t, 1, i),
      },
      {
        operands: [x(3, 4), negative(3, 2, 4)],
        run: (t, i) => t.gather(-2, i),
        reference: (t, i) => reference.gather(t, 0, i),
      },
      {
        operands: [x(2, 3, 4), ids(4, 2, 3, 5)],
        run: (t, i) => t.gather(2, i),
        reference: (t, i) => reference.gather(t, 2, i),
      },
      {
        operands: [x(3, 4), ids(4, 0, 2)],
        run: (t, i) => t.gather(1, i),
        reference: (t, i) => reference.gather(t, 1, i),
      },
    ],
    { dtypes: everything },
  ),
  indexSelect: cases(
    [
      {
        operands: [x(3, 4), ids(4, 6)],
        run: (t, i) => t.indexSelect(1, i),
        reference: (t, i) => reference.indexSelect(t, 1, i),
      },
      {
        operands: [x(2, 3, 4), negative(3, 2)],
        run: (t, i) => t.indexSelect(-2, i),
        reference: (t, i) => reference.indexSelect(t, 1, i),
      },
      {
        operands: [x(3, 4), ids(1, 0)],
        run: (t, i) => t.indexSelect(0, i),
        reference: (t, i) => reference.indexSelect(t, 0, i),
      },
    ],
    { dtypes: everything },
  ),
  scatter: cases(
    [
      {
        operands: [x(2, 4), distinct(2, 3), x(2, 3)],
        run: (t, i, s) => t.scatter(1, i, s),
        reference: (t, i, s) => reference.scatter(t, 1, i, s, false),
      },
      {
        operands: [x(4), distinct(3), x(3)],
        run: (t, i, s) => t.scatter(0, i, s),
        reference: (t, i, s) => reference.scatter(t, 0, i, s, false),
      },
      {
        operands: [x(2, 4), negative(4, 2, 3)],
        run: (t, i) => t.scatter(-1, i, 1),
        reference: (t, i) =>
          reference.scatter(
            t,
            1,
            i,
            build(i.shape, () => 1),
            false,
          ),
      },
    ],
    { dtypes: everything },
  ),
  scatterAdd: cases(
    [
      {
        operands: [x(2, 4), ids(4, 2, 7), x(2, 7)],
        run: (t, i, s) => t.scatterAdd(1, i, s),
        reference: (t, i, s) => reference.scatter(t, 1, i, s, true),
      },
      {
        operands: [x(3, 4), negative(3, 5, 2), x(5, 2)],
        run: (t, i, s) => t.scatterAdd(0, i, s),
        reference: (t, i, s) => reference.scatter(t, 0, i, s, true),
      },
    ],
    { dtypes: numbers, scale: 600 },
  ),
  indexCopy: cases(
    [
      {
        operands: [x(2, 4), distinct(3), x(2, 3)],
        run: (t, i, s) => t.indexCopy(1, i, s),
        reference: (t, i, s) => reference.indexPut(t, 1, i, s, false),
      },
      {
        operands: [x(4, 2, 2), distinct(2), x(2, 2, 2)],
        run: (t, i, s) => t.indexCopy(-3, i, s),
        reference: (t, i, s) => reference.indexPut(t, 0, i, s, false),
      },
    ],
    { dtypes: everything },
  ),
  indexAdd: cases(
    [
      {
        operands: [x(2, 4), ids(4, 9), x(2, 9)],
        run: (t, i, s) => t.indexAdd(1, i, s),
        reference: (t, i, s) => reference.indexPut(t, 1, i, s, true),
      },
      {
        operands: [x(4, 3), negative(4, 5), x(5, 3)],
        run: (t, i, s) => t.indexAdd(0, i, s),
        reference: (t, i, s) => reference.indexPut(t, 0, i, s, true),
      },
    ],
    { dtypes: numbers, scale: 600 },
  ),
  embedding: cases(
    [
      {
        operands: [ids(5, 2, 3), x(5, 4)],
        run: (i, w) => F.embedding(i, w),
        reference: (i, w) => take(w, [2, 3, 4], ([a, b, c]) => [at(i, [a!, b!]), c!]),
      },
      {
        operands: [ids(5), x(5, 4)],
        run: (i, w) => F.embedding(i, w),
        reference: (i, w) => take(w, [4], ([c]) => [i.data[0]!, c!]),
      },
    ],
    { dtypes: everything },
  ),
  oneHot: cases(
    {
      operands: [{ shape: [2, 3], from: below(4) }],
      run: i => F.oneHot(i, 4),
      reference: i => build([2, 3, 4], ([a, b, c]) => Number(at(i, [a!, b!]) === c)),
    },
    { dtypes: ['int64', 'int32'], result: 'int64', smooth: 0 },
  ),
  at: cases(
    [
      view(
        [4, 5, 6],
        t => t.at('1:, ..., ::2'),
        [3, 5, 3],
        ([i, j, k]) => [i! + 1, j!, 2 * k!],
      ),
      view(
        [4, 5],
        t => t.at(-1),
        [5],
        ([j]) => [3, j!],
      ),
      view(
        [4, 5],
        t => t.at(null, ':', -2),
        [1, 4],
        ([, i]) => [i!, 3],
      ),
      view(
        [4, 5],
        t => t.at('::-1, 1'),
        [4],
        ([i]) => [3 - i!, 1],
      ),
      view(
        [2, 3, 4],
        t => t.at('..., 0'),
        [2, 3],
        index => [...index, 0],
      ),
      { operands: [x(4, 5), ids(4, 3)], run: (t, i) => t.at(i), reference: (t, i) => reference.indexSelect(t, 0, i) },
      {
        operands: [x(4, 5), negative(5, 2, 2)],
        run: (t, i) => t.at(':', i),
        reference: (t, i) => reshape(reference.indexSelect(t, 1, i), [4, 2, 2]),
      },
      {
        operands: [x(4, 5), ids(4, 3), negative(5, 2, 1)],
        run: (t, i, j) => t.at(i, j),
        reference: (t, i, j) => take(t, [2, 3], here => [at(i, here), (at(j, here) + 5) % 5]),
      },
      // Indexed axes that are separated by a range come first.
      {
        operands: [x(4, 3, 5), ids(4, 2), ids(5, 2)],
        run: (t, i, j) => t.at(i, ':', j),
        reference: (t, i, j) => take(t, [2, 3], ([a, b]) => [i.data[a!]!, b!, j.data[a!]!]),
      },
      {
        operands: [x(2, 4, 5, 3), ids(4, 2), ids(5, 2)],
        run: (t, i, j) => t.at(':', i, j, '::2'),
        reference: (t, i, j) => take(t, [2, 2, 2], ([a, b, c]) => [a!, i.data[b!]!, j.data[b!]!, 2 * c!]),
      },
    ],
    { dtypes: everything },
  ),
  set_: cases(
    [
      writing(
        (t, s) => t.set_('1:, ::2', s),
        (t, s) => build(t.shape, ([i, j]) => (i! >= 1 && j! % 2 === 0 ? at(s, [i! - 1, j! / 2]) : at(t, [i!, j!]))),
        [3, 4],
        [2, 2],
      ),
      writing(
        (t, s) => t.set_(1, s),
        (t, s) => build(t.shape, index => (index[0] === 1 ? at(s, [index[1]!]) : at(t, index))),
        [3, 4],
        [4],
      ),
      writing(
        t => t.set_([':', -1], 7),
        t => build(t.shape, index => (index[1] === 3 ? 7 : at(t, index))),
        [3, 4],
        [1],
      ),
    ],
    { dtypes: numbers },
  ),
} satisfies Record<string, Case>;
