import { describe, expect, test } from 'bun:test';
import { autograd, F, fromTypedArray, IndexError, nn, ones, ShapeError, tensor, zeros, type Tensor } from 'castor';
import { devices } from './setup.ts';

/** Rules for special cases of functions, which were found by running random programs in Castor and in PyTorch. */
for (const device of devices)
  describe(device, () => {
    const of = (values: number[], dtype: 'float32' | 'float64' | 'float16' | 'uint8' | 'int32' = 'float32'): Tensor =>
      tensor(values, { dtype, device });

    test('a dtype that is asked for is that of the sum itself, not of its result', () => {
      const fine = of([65504, 2 ** -10, -3 * 2 ** -12]);
      expect(fine.sum(0, { dtype: 'float64' }).itemSync()).toBe(65504 + 2 ** -10 - 3 * 2 ** -12);
      expect(fine.mean(undefined, { dtype: 'float64' }).itemSync()).toBe((65504 + 2 ** -12) / 3);
      expect(fine.norm(1, 0, { dtype: 'float64' }).itemSync()).toBe(65504 + 2 ** -10 + 3 * 2 ** -12);
      expect([
        ...of([65504, 2 ** -12])
          .cumsum(0, { dtype: 'float64' })
          .dataSync(),
      ]).toEqual([65504, 65504 + 2 ** -12]);
      expect(
        of([1 + 2 ** -23, 1 + 2 ** -23])
          .prod(0, { dtype: 'float64' })
          .itemSync(),
      ).toBe((1 + 2 ** -23) ** 2);
    });

    test('fractions are dropped before they are summed as integers', () => {
      const halves = of([2.5, 2.5, -2.5]);
      expect(halves.sum(0, { dtype: 'int64' }).itemSync()).toBe(2);
      expect(halves.prod(0, { dtype: 'int32' }).itemSync()).toBe(-8);
      expect(halves.cumsum(0, { dtype: 'int32' }).toArraySync()).toEqual([2, 4, 2]);
      expect(halves.cumprod(0, { dtype: 'int64' }).toArraySync()).toEqual([2, 4, -8]);
    });

    test('integers become the floating dtype before they could wrap around', () => {
      const large = fromTypedArray(BigInt64Array.of(2n ** 62n, 2n ** 62n, 2n ** 62n), [3], { device });
      expect(large.sum(0, { dtype: 'float64' }).itemSync()).toBe(3 * 2 ** 62);
      expect(large.prod(0, { dtype: 'float64' }).itemSync()).toBe(2 ** 186);
      expect(large.cumsum(0, { dtype: 'float32' }).toArraySync()).toEqual([2 ** 62, 2 ** 63, 3 * 2 ** 62]);
      const bytes = of([1, 255], 'uint8');
      expect(bytes.softmax(0, { dtype: 'float32' }).toArraySync()).toEqual([0, 1]);
      expect(bytes.logSoftmax(0, { dtype: 'float64' }).toArraySync()).toEqual([-254, 0]);
    });

    test('a gradient flows through a sum in another dtype', () => {
      const x = of([1, 2]).requiresGrad_();
      x.sum(0, { dtype: 'float64' }).backward();
      expect(x.grad!.dtype).toBe('float32');
      expect(x.grad!.toArraySync()).toEqual([1, 1]);
    });

    test('a variance whose correction is the count or more divides by zero', () => {
      for (const correction of [3, 4, 10]) {
        expect(of([1, 2, 3]).var(0, { correction }).itemSync()).toBe(Infinity);
        expect(of([1, 2, 3]).std(undefined, { correction }).itemSync()).toBe(Infinity);
        expect(of([1, 1, 1]).var(0, { correction }).itemSync()).toBeNaN();
      }
      expect(ones([2, 3], { device }).mul(of([1, 2, 3])).var(1, { correction: 5 }).toArraySync()).toEqual([Infinity, Infinity]); // prettier-ignore
    });

    test('gradients of float64 are clipped in float64', () => {
      const wide = of([3, 4], 'float64').requiresGrad_();
      const single = of([12]).requiresGrad_();
      const clipped = (scale: number, normType: number): Tensor => {
        for (const x of [wide, single]) x.grad = null;
        wide.mul(wide.detach()).mul(scale).sum().add(single.mul(single.detach()).sum()).backward();
        return nn.clipGradNorm([wide, single], 1, { normType });
      };
      expect(clipped(1, 2).dtype).toBe('float64');
      expect(clipped(1, 2).itemSync()).toBe(13);
      const factor = 1 / (13 + 1e-6);
      expect([...wide.grad!.dataSync()]).toBeAllclose([3 * factor, 4 * factor], { rtol: 1e-15 });
      expect([...single.grad!.dataSync()]).toBeAllclose([Math.fround(12 * factor)], { rtol: 1e-7 });
      expect(clipped(1e200, Infinity).itemSync()).toBe(4e200);
      expect([...wide.grad!.dataSync()]).toBeAllclose([0.75, 1], { rtol: 1e-15 });
    });

    test('a comparison rounds a tensor of rank 0 to the dtype of the one that has axes', () => {
      const exact = tensor(0.1, { dtype: 'float64', device });
      for (const dtype of ['float32', 'float16'] as const) {
        const x = of([0.1, 0.2], dtype);
        expect(x.eq(exact).toArraySync()).toEqual([true, false]);
        expect(exact.ne(x).toArraySync()).toEqual([false, true]);
        expect(exact.lt(x).toArraySync()).toEqual([false, true]);
      }
      const single = of([0.1]).reshape([]);
      expect(of([0.1], 'float64').eq(single).toArraySync()).toEqual([false]);
      expect(single.eq(exact).toArraySync()).toBe(false);
    });

    test('positions of an axis of size 0 are an error, also where the result is empty', () => {
      const x = zeros([0, 4], { device });
      const first = tensor([0n], { device });
      for (const call of [() => x.at(first, '4:'), () => x.at([0], '4:'), () => x.set_([[0], '4:'], 1)])
        expect(call).toThrow(IndexError);
      expect(x.at(tensor([], { dtype: 'int64', device })).shape).toEqual([0, 4]);
      expect(x.at(zeros([0], { dtype: 'bool', device })).shape).toEqual([0, 4]);
      expect(() => x.at('...', '...')).toThrow(/more than once/);
    });

    test('a selection without elements looks at no position, in backward either', () => {
      const x = zeros([1, 3, 0], { device, requiresGrad: true });
      const out = x.at(null, [1, 0, 2]);
      expect(out.shape).toEqual([1, 3, 3, 0]);
      out.sum().backward();
      expect(x.grad!.shape).toEqual([1, 3, 0]);
    });

    test('functions that are straight by parts have a second derivative of zero', () => {
      for (const f of [F.relu, (x: Tensor) => F.leakyRelu(x, 0.25)]) {
        const x = of([-1, 0, 2]).requiresGrad_();
        const [slope] = autograd.grad(f(x).sum(), [x], { createGraph: true });
        expect(slope!.toArraySync()).toEqual(f === F.relu ? [0, 0, 1] : [0.25, 0.25, 1]);
        expect(autograd.grad(slope!.sum(), [x])[0]!.toArraySync()).toEqual([0, 0, 0]);
      }
    });

    test('a class is no position: none counts from the end', async () => {
      const logs = of([-1, -2, -3, -4]).reshape([2, 2]);
      const classes = (...values: bigint[]): Tensor => tensor(values, { device });
      const weight = of([1, 2]);
      const refused = async (call: () => Tensor): Promise<void> => {
        expect(await call().data().then(() => null, (error: unknown) => error)).toBeInstanceOf(IndexError); // prettier-ignore
      };
      const calls = (...labels: bigint[]): (() => Tensor)[] => [
        () => F.nllLoss(logs, classes(...labels)),
        () => F.nllLoss(logs, classes(...labels), { weight }),
        () => F.crossEntropy(logs, classes(...labels)),
        () => F.crossEntropy(logs, classes(...labels), { weight }),
        () => F.crossEntropy(logs, classes(...labels), { weight, labelSmoothing: 0.1 }),
        () => F.oneHot(classes(...labels), 2),
      ];
      for (const call of [...calls(0n, -1n), ...calls(-2n, 0n), ...calls(2n, 1n)])
        await refused(() => {
          try {
            return call();
          } catch (error) {
            return { data: () => Promise.reject(error as Error) } as unknown as Tensor;
          }
        });
      expect(F.nllLoss(logs, classes(1n, -1n), { ignoreIndex: -1 }).itemSync()).toBe(2);
      expect(F.oneHot(classes(1n, 0n), 2).toArraySync()).toEqual([[0, 1], [1, 0]]); // prettier-ignore
    });

    test('losses of no rows or no classes, attention of vectors of size 0', () => {
      for (const shape of [
        [0, 3],
        [0, 0],
        [2, 3, 0],
        [0, 0, 4],
      ]) {
        const x = zeros(shape, { device });
        const target = zeros(shape.toSpliced(1, 1), { dtype: 'int64', device });
        for (const loss of [F.nllLoss, F.crossEntropy]) {
          expect(loss(x, target).itemSync()).toBeNaN();
          expect(loss(x, target, { reduction: 'none' }).shape).toEqual(shape.toSpliced(1, 1));
        }
      }
      const [q, v] = [zeros([1, 2, 0], { device }), of([0, 1, 2, 3]).reshape([1, 2, 2])];
      expect(F.scaledDotProductAttention(q, q, v).toArraySync()).toEqual([[[1, 2], [1, 2]]]); // prettier-ignore
    });

    test('indexSelect takes a list of positions, not a table', () => {
      const index = tensor([[0n, 1n]], { device });
      expect(() => of([1, 2]).indexSelect(0, index)).toThrow(/more than one axis/);
      expect(
        of([1, 2])
          .indexSelect(0, index.reshape([-1]))
          .toArraySync(),
      ).toEqual([1, 2]);
    });

    test('a source may be larger than the index that scatters it', () => {
      const index = tensor([[0n, 1n]], { device });
      const source = of([1, 2, 3, 4, 5, 6]).reshape([2, 3]).detach().requiresGrad_(); // prettier-ignore
      const x = zeros([2, 3], { device });
      expect(x.scatter(0, index, source).toArraySync()).toEqual([[1, 0, 0], [0, 2, 0]]); // prettier-ignore
      const out = x.scatterAdd(0, index, source);
      expect(out.toArraySync()).toEqual([[1, 0, 0], [0, 2, 0]]); // prettier-ignore
      out.sum().backward();
      expect(source.grad!.toArraySync()).toEqual([[1, 1, 0], [0, 0, 0]]); // prettier-ignore
      expect(() => x.scatter(0, index, of([1]).reshape([1, 1]))).toThrow(ShapeError);
      expect(() => x.scatter(0, index, of([1, 2]))).toThrow(/smaller than the index/);
    });
  });
