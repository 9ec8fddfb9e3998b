/** Tests the message for an index that is out of range: it names the index, its place, the axis and the size of the axis. */
import { describe, expect, test } from 'bun:test';
import { F, getDefaultDevice, IndexError, tensor, tidy, zeros, type DType, type Tensor } from 'castor';

const atOnce = getDefaultDevice() === 'cpu';
const SIZE = 5;

/** Each call reads or writes along axis 1 of a (2, 5) tensor, except embedding, which reads rows. */
const calls: Readonly<Record<string, (index: Tensor) => unknown>> = {
  indexSelect: index => zeros([2, SIZE]).indexSelect(1, index),
  indexAdd: index => zeros([2, SIZE]).indexAdd(1, index, zeros([2, index.numel])),
  indexCopy: index => zeros([2, SIZE]).indexCopy(1, index, zeros([2, index.numel])),
  gather: index => zeros([1, SIZE]).gather(1, index.unsqueeze(0)),
  scatter: index => zeros([1, SIZE]).scatter(1, index.unsqueeze(0), 1),
  scatterAdd: index => zeros([1, SIZE]).scatterAdd(1, index.unsqueeze(0), zeros([1, index.numel])),
  embedding: index => F.embedding(index, zeros([SIZE, 3])),
};
/** The same positions in other layouts. */
const layouts: Readonly<Record<string, (values: number[], dtype: DType) => Tensor>> = {
  contiguous: (values, dtype) => tensor(values, { dtype }),
  strided: (values, dtype) => tensor(values.map(value => [value, 99]), { dtype }).select(1, 0), // prettier-ignore
  reversed: (values, dtype) => tensor(values.toReversed(), { dtype }).slice(0, null, null, -1),
};

describe.if(atOnce)('an index that is out of range', () => {
  test.each(Object.entries(calls))('is named by %s with its place', (name, call) =>
    tidy(() => {
      const axis = name === 'embedding' ? 0 : 1;
      for (const make of Object.values(layouts))
        for (const dtype of ['int64', 'int32'] as const)
          for (const count of [1, 3, 70, 700])
            for (const place of new Set([0, 1, count - 1]))
              for (const wrong of [SIZE, -SIZE - 1]) {
                if (place >= count) continue;
                // A later one, which is wrong too, is not the one that is named.
                const values = Array.from({ length: count }, (_, i) =>
                  i < place ? (i % SIZE) - 2 : wrong + i - place,
                );
                const text = `index ${wrong} at position ${place} is outside axis ${axis} of size ${SIZE}`;
                expect(() => call(make(values, dtype))).toThrow(text);
                expect(() => call(make(values, dtype))).toThrow(IndexError);
              }
    }),
  );
  test('is the one nearest to the front', () =>
    tidy(() => {
      const ids = tensor([0, 4, -5, 7, 9], { dtype: 'int64' });
      expect(() => zeros([SIZE]).indexSelect(0, ids)).toThrow('index 7 at position 3 is outside axis 0 of size 5');
    }));
});
