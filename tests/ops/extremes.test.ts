/** Elements that are the lowest or the highest of their dtype: reductions that start there must still name an element. */
import { describe, expect, test } from 'bun:test';
import { full, tidy, type DType } from 'castor';
import { devices } from '../setup.ts';

/** The lowest and the highest value of each dtype, as far as numbers hold them. */
const ends: readonly (readonly [DType, number, number])[] = [
  ['float32', -Infinity, Infinity],
  ['float64', -Infinity, Infinity],
  ['float16', -Infinity, Infinity],
  ['bfloat16', -Infinity, Infinity],
  ['int32', -(2 ** 31), 2 ** 31 - 1],
  ['int64', -(2 ** 63), 2 ** 53],
  ['uint8', 0, 255],
  ['bool', 0, 1],
];
const sizes = [1, 2, 3, 5, 8, 17, 64, 1000];

describe.each([...devices])('elements at an end of their dtype, on %s,', device => {
  test.each(ends)('%s', (dtype, lowest, highest) =>
    tidy(() => {
      for (const size of sizes)
        for (const value of [lowest, highest]) {
          const line = full([size], value, { dtype, device });
          const lines = full([3, size], value, { dtype, device });
          const columns = lines.transpose(0, 1);
          const what = `${dtype} ${value}, ${size} of them`;
          for (const name of ['argmax', 'argmin'] as const) {
            expect(line[name]().itemSync(), `${name} of ${what}`).toBe(0);
            expect([...lines[name](1).toArraySync() as bigint[]].map(Number), what).toEqual([0, 0, 0]); // prettier-ignore
            expect([...columns[name](0).toArraySync() as bigint[]].map(Number), what).toEqual([0, 0, 0]); // prettier-ignore
          }
          for (const name of ['max', 'min'] as const) {
            const { values, indices } = lines[name](1);
            expect(values.eq(lines.select(1, 0)).all().itemSync(), `${name} of ${what}`).toBe(1);
            expect(indices.eq(0).all().itemSync(), `${name} of ${what}`).toBe(1);
            expect(line[name]().eq(line.select(0, 0)).itemSync(), `${name} of ${what}`).toBe(1);
          }
          const order = line.sort(0);
          expect(
            order.indices
              .eq(full([size], 1, { dtype: 'int64', device }).cumsum(0).sub(1))
              .all()
              .itemSync(),
          ).toBe(1);
        }
    }),
  );
});
