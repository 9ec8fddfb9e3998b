import { describe, expect, test } from 'bun:test';
import { arange, ArgumentError, F, ones, optim, tensor, tidy, train, type Tensor } from 'castor';

/** Passes a value that TypeScript would refuse and Bun runs. */
const any = (value: unknown): any => value;
const table = (): any => arange(6).reshape([2, 3]);
const refused = (call: () => unknown, message: RegExp): void => {
  const run = (): unknown => tidy(call);
  expect(run).toThrow(ArgumentError);
  expect(run).toThrow(message);
};

describe('an option', () => {
  test.each<[string, () => unknown, RegExp]>([
    ['keepDim', () => table().sum(1, { keepDim: true }), /no option 'keepDim'\. Did you mean 'keepdim'\?/],
    [
      'label_smoothing',
      () => F.crossEntropy(ones([2, 2]), ones([2]), any({ label_smoothing: 1 })),
      /mean 'labelSmoothing'/,
    ],
    ['unbiased', () => ones([3]).std(undefined, any({ unbiased: false })), /mean 'correction'/],
    [
      'isCausal',
      () => F.scaledDotProductAttention(ones([2, 2]), ones([2, 2]), ones([2, 2]), any({ isCausal: 1 })),
      /'causal'/,
    ],
    ['nothing like any', () => table().sum(1, { colour: 1 }), /no option 'colour'\. The options are keepdim, dtype/],
    ['of another type', () => table().sum(1, { keepdim: 1 }), /keepdim is 1, which is not a boolean/],
    ['that is null', () => table().sum(1, { keepdim: null }), /keepdim is null/],
    [
      'of a very long name',
      () => table().sum(1, { ['x'.repeat(1e6)]: 1 }),
      /no option 'x{200}\.\.\. \(1000000 characters\)'/,
    ],
  ])('%s is refused', (_, call, message) => refused(call, message));

  test('that is undefined is its default', () => {
    expect(table().sum(1, { keepdim: undefined }).shape).toEqual([2]);
    expect(table().sum(undefined, undefined).shape).toEqual([]);
  });
  test('that throws when it is read throws what it throws', () => {
    const error = new RangeError('mine');
    const options = {
      get keepdim(): boolean {
        throw error;
      },
    };
    expect(() => table().sum(1, options)).toThrow(error);
  });
  test('is read once', () => {
    let reads = 0;
    const options = {
      get keepdim(): boolean {
        return reads++ === 0;
      },
    };
    expect(table().sum(1, options).shape).toEqual([2, 1]);
    expect(reads).toBe(1);
  });
});

describe('an argument', () => {
  test.each<[string, () => unknown, RegExp]>([
    ['is missing', () => table().gather(0), /gather: the argument index is missing: it takes \(x, axis, index\)/],
    ['is of another type', () => table().gather(0, 1), /index is 1, which is not a tensor/],
    ['is one too many', () => table().sum(0, {}, 3), /sum: 3 is an argument too many/],
    [
      'is one too many for an elementwise op',
      () => table().add(1, { alpha: 2 }),
      /add: an object is an argument too many/,
    ],
    ['is one too many for one in place', () => table().neg_(true), /neg_: true is an argument too many/],
    ['is an index of map()', () => [table()].map(any(F.relu)), /As a callback of map\(\), wrap it/],
    ['is no index of map()', () => any(F.relu)(table(), 'a', []), /an argument too many.*\. Leave it out$/],
    ['is a number behind one', () => any(F.relu)(table(), 0, 1), /an argument too many.*\. Leave it out$/],
    ['is one of four', () => any(F.relu)(table(), 0, [], 3), /an argument too many.*\. Leave it out$/],
    [
      'belongs into the options',
      () => table().sum(0, {}, true),
      /too many.*\. Leave it out, or name it: \{ keepdim: \.\.\. \}$/,
    ],
    [
      'is missing, before options',
      () => any(F.softmax)(table()),
      /axis is missing: it takes \(x, axis, \{ dtype \}\?\), x being the tensor/,
    ],
    [
      'is missing, before any number',
      () => any(F.permute)(),
      /x is missing: it takes \(x, \.\.\.\w+\), x being the tensor/,
    ],
    [
      'is missing in a function that is no method',
      () => any(optim.cosineWithWarmup)(),
      /it takes \(step, \{ peak, warmup, steps, floor \}\)\. /,
    ],
    ['is a Proxy of a tensor', () => table().maximum(new Proxy(table(), {})), /operand 1 is a Proxy/],
    ['is an array beside numbers', () => table().reshape([3, 2], 1), /was passed together with other arguments/],
    ['is one size for an array', () => F.layerNorm(table(), any(3)), /as an array, such as \[768\]/],
    ['is a number to copy', () => table().copy_(1), /fill_\(\) takes a number/],
    ['is a tensor for an axis', () => table().max(table()), /of two tensors maximum\(\) gives the elements/],
    ['is the x of where', () => F.where(any(ones([2])), any(tensor([true, false])), 0), /The condition comes first/],
  ])('that %s is refused', (_, call, message) => refused(call, message));

  test.each<[string, () => Tensor, () => Tensor]>([
    ['sum(axis, keepdim)', () => table().sum(1, true), () => table().sum(1, { keepdim: true })],
    ['clamp(min, max)', () => arange(6).reshape([2, 3]).clamp(1, 3), () => table().clamp({ min: 1, max: 3 })],
    ['to(device, dtype)', () => table().to('cpu', 'float16'), () => table().to({ device: 'cpu', dtype: 'float16' })],
    ['clamp(min)', () => arange(6).reshape([2, 3]).clamp(2), () => table().clamp({ min: 2 })],
    ['clamp(null, max)', () => arange(6).reshape([2, 3]).clamp(null, 2), () => table().clamp({ max: 2 })],
    [
      'sort(axis, descending)',
      () => table().sort(-1, true).values,
      () => table().sort(-1, { descending: true }).values,
    ],
    ["gelu(x, 'tanh')", () => F.gelu(ones([2]), any('tanh')), () => F.gelu(ones([2]), { approximate: 'tanh' })],
    [
      'softmax(axis, dtype)',
      () => F.softmax(ones([2]), 0, any('float64')),
      () => F.softmax(ones([2]), 0, { dtype: 'float64' }),
    ],
    [
      'where(condition, x, other)',
      () => F.where(tensor([true, false]), tensor([false, true]), tensor([true, true])),
      () => tensor([false, true]),
    ],
  ])('in the order of PyTorch is taken: %s', (_, given, meant) =>
    tidy(() => expect([given().dtype, given().toArraySync()]).toEqual([meant().dtype, meant().toArraySync()])),
  );
});

describe('an array that its caller changes afterwards', () => {
  test('changes no gradient', () => {
    tidy(() => {
      const gradients = [
        [1, 1],
        [2, 2],
      ].map(changed => {
        const stride = [1, 1] as [number, number];
        const x = ones([1, 1, 4, 4], { requiresGrad: true });
        const y = F.conv2d(x, ones([1, 1, 2, 2]), null, { stride });
        stride.splice(0, 2, ...changed);
        y.sum().backward();
        return x.grad!.toArraySync();
      });
      expect(gradients[1]).toEqual(gradients[0]!);
    });
  });
});

describe('a tensor in an expression of JavaScript', () => {
  const t = (value: number): any => tensor(value);
  test.each<[string, () => unknown]>([
    ['a < b', () => t(9) < t(10)],
    ['a + b', () => t(1) + t(2)],
    ['a == 1', () => t(1) == 1],
    ['-a', () => -t(1)],
    ['Math.max(a, 1)', () => Math.max(t(3), 1)],
    ['Float32Array.of(a)', () => Float32Array.of(t(3))],
    ["'loss ' + a", () => 'loss ' + t(3)],
  ])('%s is refused', (_, call) => refused(call, /Use add\(\), lt\(\), maximum\(\)/));
  test('as text is its text', () => {
    tidy(() => {
      expect(`${t(3)}`).toMatch(/^tensor\(3\./);
      expect(String(t(3))).toMatch(/^tensor\(3\./);
    });
  });
});

describe('a number beyond int32', () => {
  test('is not another number on its way to the native library', () => {
    tidy(() => {
      const x = ones([1, 1, 4, 4]);
      const far = 2 ** 32;
      expect(x.tril(far).toArraySync()).toEqual(x.toArraySync());
      expect(x.triu(-far).toArraySync()).toEqual(x.toArraySync());
      expect(x.triu(far).sum().itemSync()).toBe(0);
      expect(x.tril(-far).sum().itemSync()).toBe(0);
      const kernel = ones([1, 1, 1, 1]);
      for (const options of [{ stride: far + 1 }, { padding: far }, { dilation: far + 1 }, { groups: far + 1 }])
        refused(() => F.conv2d(x, kernel, null, options), /2\^31 - 1|groups/);
      refused(() => F.maxPool2d(x, 1, { stride: far + 1 }), /2\^31 - 1/);
    });
  });
  test('and a fraction of a diagonal are refused', () => refused(() => ones([2, 2]).tril(any(0.5)), /whole number/));
});

test.each<[string, unknown]>([
  ['undefined', undefined],
  ['null', null],
  ['a number', 1],
  ['a promise', Promise.resolve(ones([]))],
])('a loss function that gives %s is refused', async (_, given) => {
  const mean = train.meanLoss(
    [1],
    any(() => given),
  );
  await expect(mean).rejects.toThrow(ArgumentError);
  await expect(mean).rejects.toThrow(/meanLoss: .*not a tensor.*a tensor of one element/);
});

test('two letters in the wrong order are one mistake', () => {
  expect(() => new optim.SGD([ones([1], { requiresGrad: true })], any({ rl: 0.1 }))).toThrow(/Did you mean 'lr'\?/);
});
