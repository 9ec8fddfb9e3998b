/**
 * The requirements of an op on shapes and numbers: each condition by itself, at a value that just satisfies it and at
 * one that just does not.
 */
import { describe, expect, test } from 'bun:test';
import {
  arange,
  CastorError,
  data,
  F,
  full,
  Generator,
  linspace,
  nn,
  ones,
  randint,
  randperm,
  tensor,
  tidy,
  zeros,
  type DType,
  type Tensor,
} from 'castor';

const any = (value: unknown): any => value;
const image = (h: number, w: number, c = 1) => zeros([1, c, h, w], { device: 'cpu' });
const kernel = (h: number, w: number, o = 1, c = 1) => zeros([o, c, h, w], { device: 'cpu' });
const matrix = (...shape: number[]) => zeros(shape, { device: 'cpu' });
const ids = (...shape: number[]) => zeros(shape, { dtype: 'int64', device: 'cpu' });

/** The shape of the result, or null for a call that is refused. */
type Row = readonly [call: () => any, shape: readonly number[] | null];
const rows: Readonly<Record<string, readonly Row[]>> = {
  'a kernel as large as the image': [
    [() => F.conv2d(image(4, 4), kernel(4, 4)), [1, 1, 1, 1]],
    [() => F.conv2d(image(4, 4), kernel(5, 4)), null],
    [() => F.conv2d(image(4, 4), kernel(4, 5)), null],
    [() => F.conv2d(image(4, 4), kernel(5, 4), null, { padding: [1, 0] }), [1, 1, 2, 1]],
    [() => F.conv2d(image(4, 4), kernel(4, 5), null, { padding: [0, 1] }), [1, 1, 1, 2]],
    [() => F.conv2d(image(4, 4), kernel(2, 2), null, { dilation: [3, 1] }), [1, 1, 1, 3]],
    [() => F.conv2d(image(4, 4), kernel(2, 2), null, { dilation: [4, 1] }), null],
    [() => F.conv2d(image(4, 4), kernel(2, 2), null, { dilation: [1, 4] }), null],
    [() => F.conv1d(matrix(1, 1, 4), matrix(1, 1, 4)), [1, 1, 1]],
    [() => F.conv1d(matrix(1, 1, 4), matrix(1, 1, 5)), null],
  ],
  'axes of a convolution': [
    [() => F.conv2d(matrix(1, 4, 4), kernel(2, 2)), null],
    [() => F.conv2d(image(4, 4), matrix(1, 2, 2)), null],
    [() => F.conv1d(matrix(1, 4), matrix(1, 1, 2)), null],
    [() => F.conv1d(matrix(1, 1, 4), matrix(1, 2)), null],
  ],
  'channels in groups': [
    [() => F.conv2d(image(2, 2, 4), kernel(1, 1, 4, 2), null, { groups: 2 }), [1, 4, 2, 2]],
    [() => F.conv2d(image(2, 2, 3), kernel(1, 1, 4, 1), null, { groups: 2 }), null],
    [() => F.conv2d(image(2, 2, 4), kernel(1, 1, 3, 2), null, { groups: 2 }), null],
    [() => F.conv2d(image(2, 2, 4), kernel(1, 1, 4, 1), null, { groups: 2 }), null],
    [() => F.conv2d(image(2, 2, 4), kernel(1, 1, 4, 4), null, { groups: 0 }), null],
    [() => F.conv2d(image(2, 2, 4), kernel(1, 1, 4, 4), null, { groups: 1.5 }), null],
    [() => new nn.Conv2d(4, 2, 1, { groups: 2 }).weight, [2, 2, 1, 1]],
    [() => new nn.Conv2d(3, 2, 1, { groups: 2 }), null],
    [() => new nn.Conv2d(4, 3, 1, { groups: 2 }), null],
    [() => new nn.Conv2d(0, 2, 1), null],
    [() => new nn.Conv2d(1, 0, 1), null],
    [() => new nn.Conv2d(1, 1, 1, { groups: 0 }), null],
  ],
  'strides, paddings and dilations': (['stride', 'padding', 'dilation'] as const).flatMap((name): Row[] => {
    const least = name === 'padding' ? 0 : 1;
    const at =
      (value: unknown): Row[0] =>
      () =>
        F.conv2d(image(1, 1), kernel(1, 1), null, { [name]: any(value) });
    return [
      [at(least), [1, 1, 1, 1]],
      [at([least, least]), [1, 1, 1, 1]],
      [at(least - 1), null],
      [at([least - 1, least]), null],
      [at([least, least - 1]), null],
      [at([least]), null],
      [at([least, least, least]), null],
      [at(least + 0.5), null],
      [at(2 ** 31), null],
      ...(name === 'padding' ? [] : [[at(2 ** 31 - 1), [1, 1, 1, 1]] as const]),
    ];
  }),
  'windows of a pool': [F.maxPool2d, F.avgPool2d].flatMap((pool): Row[] => [
    [() => pool(image(2, 2), 2), [1, 1, 1, 1]],
    [() => pool(image(1, 2), 2), null],
    [() => pool(image(2, 1), 2), null],
    [() => pool(image(2, 2), 2, { padding: 1 }), [1, 1, 2, 2]],
    [() => pool(image(4, 4), 3, { padding: [2, 0] }), null],
    [() => pool(image(4, 4), 3, { padding: [0, 2] }), null],
    [() => pool(image(4, 4), 3, { padding: 1 }), [1, 1, 2, 2]],
    [() => pool(matrix(1, 4, 4), 2), null],
    [() => pool(image(4, 4), 0), null],
  ]),
  'the normalised shape': [
    [() => F.layerNorm(matrix(2, 3), [3]), [2, 3]],
    [() => F.layerNorm(matrix(2, 3), [2, 3]), [2, 3]],
    [() => F.layerNorm(matrix(2, 3), [1, 2, 3]), null],
    [() => F.layerNorm(matrix(2, 3), []), null],
    [() => F.layerNorm(matrix(2, 3), [2]), null],
    [() => F.layerNorm(matrix(2, 3), [3], matrix(2)), null],
    [() => F.layerNorm(matrix(2, 3), [3], null, matrix(2)), null],
    [() => F.layerNorm(matrix(2, 3), [3], matrix(3), matrix(3)), [2, 3]],
    [() => F.rmsNorm(matrix(2, 3), [3], matrix(3)), [2, 3]],
    [() => F.rmsNorm(matrix(2, 3), [3], matrix(1)), null],
  ],
  'groups of channels that are normalised': [
    [() => F.groupNorm(matrix(1, 2), 1), [1, 2]],
    [() => F.groupNorm(matrix(1, 2), 2), null],
    [() => F.groupNorm(matrix(2, 2), 2), [2, 2]],
    [() => F.groupNorm(matrix(1, 2, 2), 2), [1, 2, 2]],
    [() => F.groupNorm(matrix(2, 3), 2), null],
    [() => F.groupNorm(matrix(2, 3), 0), null],
    [() => F.groupNorm(matrix(2, 3), 1.5), null],
    [() => F.groupNorm(matrix(3), 1), null],
    [() => F.groupNorm(matrix(2, 0), 1), null],
    [() => F.groupNorm(matrix(2, 3, 0), 1), null],
    [() => F.groupNorm(matrix(2, 4), 2, matrix(4), matrix(4)), [2, 4]],
    [() => F.groupNorm(matrix(2, 4), 2, matrix(2)), null],
    [() => F.groupNorm(matrix(2, 4), 2, null, matrix(2)), null],
  ],
  'channels that are normalised': [
    [() => F.batchNorm(matrix(2, 3), { training: true }), [2, 3]],
    [() => F.batchNorm(matrix(1, 3), { training: true }), null],
    [() => F.batchNorm(matrix(0, 3), { training: true }), [0, 3]],
    [() => F.batchNorm(matrix(1, 3, 2), { training: true }), [1, 3, 2]],
    [() => F.batchNorm(matrix(1, 3), { runningMean: matrix(3), runningVar: matrix(3) }), [1, 3]],
    [() => F.batchNorm(matrix(1, 3), { runningMean: matrix(3) }), null],
    [() => F.batchNorm(matrix(1, 3), { runningVar: matrix(3) }), null],
    [() => F.batchNorm(matrix(2, 3), { runningMean: matrix(2), runningVar: matrix(3) }), null],
    [() => F.batchNorm(matrix(2, 3), { runningMean: matrix(3), runningVar: matrix(2) }), null],
    [() => F.batchNorm(matrix(2, 3), { weight: matrix(2) }), null],
    [() => F.batchNorm(matrix(2, 3), { bias: matrix(2) }), null],
    [() => F.batchNorm(matrix(2, 0)), null],
    [() => F.batchNorm(matrix(2)), null],
    [() => new nn.BatchNorm2d(1).weight, [1]],
    [() => new nn.BatchNorm2d(0), null],
  ],
  'positions and parts': [
    [() => matrix(3).select(0, 2), []],
    [() => matrix(3).select(0, 3), null],
    [() => matrix(3).select(0, -3), []],
    [() => matrix(3).select(0, -4), null],
    [() => matrix(3).select(0, 0.5), null],
    [() => matrix().select(0, 0), null],
    [() => matrix(3).narrow(0, 1, 2), [2]],
    [() => matrix(3).narrow(0, 1, 3), null],
    [() => matrix(3).narrow(0, 3, 0), [0]],
    [() => matrix(3).narrow(0, 4, 0), null],
    [() => matrix(3).narrow(0, -3, 3), [3]],
    [() => matrix(3).narrow(0, -4, 1), null],
    [() => matrix(3).narrow(0, 0, -1), null],
    [() => matrix(3).narrow(0, 0.5, 1), null],
    [() => matrix(3).narrow(0, 0, 0.5), null],
    [() => matrix(3).slice(0, 0, 2.5), null],
    [() => matrix(3).slice(0, 0.5, 2), null],
    [() => matrix(3).slice(0, 0, 2, 0), null],
    [() => matrix(3).slice(0, 0, 2, 0.5), null],
    [() => matrix(3).slice(0, null, null, -4), [1]],
    [() => matrix(3).slice(0, 5, 9), [0]],
    [() => matrix(3).slice(0, -9, -2), [1]],
  ],
  axes: [
    [() => matrix(2, 3).flatten(1, 1), [2, 3]],
    [() => matrix(2, 3).flatten(1, 0), null],
    [() => matrix().flatten(), [1]],
    [() => matrix(2, 3).unflatten(1, [3, 1]), [2, 3, 1]],
    [() => matrix(2, 3).unflatten(1, []), null],
    [() => matrix(2, 3).permute(1, 0), [3, 2]],
    [() => matrix(2, 3).permute(1), null],
    [() => matrix(2, 3).permute(1, 1), null],
    [() => matrix(2, 3).permute(0, 1, 1), null],
    [() => matrix(2, 3).unsqueeze(2), [2, 3, 1]],
    [() => matrix(2, 3).unsqueeze(3), null],
    [() => matrix(2, 3).unsqueeze(-3), [1, 2, 3]],
    [() => matrix(2, 3).unsqueeze(-4), null],
    [() => matrix(1, 1, 1, 1, 1, 1, 1, 1).unsqueeze(0), null],
    [() => matrix(1, 1, 1, 1, 1, 1, 1).unsqueeze(0), [1, 1, 1, 1, 1, 1, 1, 1]],
    [() => matrix(1, 3).expand(2, 3), [2, 3]],
    [() => matrix(1, 3).expand(2, -1, 3), [2, 1, 3]],
    [() => matrix(1, 3).expand(-1, 1, 3), null],
    [() => matrix(1, 3).expand(3), null],
    [() => matrix(2, 3).expand(1, 3), null],
    [() => matrix(2, 3).tril(), [2, 3]],
    [() => matrix(3).tril(), null],
    [() => matrix(3).triu(), null],
    [() => F.linear(matrix(3), matrix(2, 3)), [2]],
    [() => F.linear(matrix(), matrix(2, 3)), null],
    [() => F.linear(matrix(3), matrix(3)), null],
    [() => F.linear(matrix(3), matrix(3, 2)), null],
    [() => F.linear(matrix(1, 3), matrix(2, 3), matrix(3)), null],
    [() => F.linear(matrix(1, 3), matrix(2, 3), matrix(1, 2)), null],
    [() => matrix(3).matmul(matrix(3)), []],
    [() => matrix(2, 3).matmul(matrix(3)), [2]],
    [() => matrix(3).matmul(matrix(3, 2)), [2]],
    [() => matrix(5, 2, 3).matmul(matrix(3)), [5, 2]],
    [() => matrix(3).matmul(matrix(5, 3, 2)), [5, 2]],
    [() => matrix().matmul(matrix(1)), null],
    [() => matrix(1).matmul(matrix()), null],
    [() => matrix(2, 3).matmul(matrix(2, 3)), null],
  ],
  'lists of tensors': [
    [() => F.cat([]), null],
    [() => F.stack([]), null],
    [() => F.cat([matrix(2, 3), matrix(1, 3)]), [3, 3]],
    [() => F.cat([matrix(2, 3), matrix(2, 2)]), null],
    [() => F.cat([matrix(2, 3), matrix(2, 2)], 1), [2, 5]],
    [() => F.cat([matrix(2, 3), matrix(3)]), null],
    [() => F.cat([matrix(2, 3), matrix(0)]), [2, 3]],
    [() => F.cat([matrix(0), matrix(0)]), [0]],
    [() => F.cat([matrix(), matrix()]), null],
    [() => F.cat([matrix(1), matrix()]), null],
    [() => F.stack([matrix(2, 3), matrix(2, 3)], 2), [2, 3, 2]],
    [() => F.stack([matrix(2, 3), matrix(2, 3)], 3), null],
    [() => F.stack([matrix(2, 3), matrix(3, 2)]), null],
    [() => F.stack([matrix(1, 1, 1, 1, 1, 1, 1, 1)]), null],
  ],
  indices: [
    [() => matrix(2, 3).gather(1, ids(2, 1)), [2, 1]],
    [() => matrix(2, 3).gather(1, ids(2)), null],
    [() => matrix().gather(0, ids()), []],
    [() => matrix(2, 3).indexSelect(1, ids(4)), [2, 4]],
    [() => matrix(2, 3).indexSelect(1, ids()), [2, 1]],
    [() => matrix(2, 3).indexSelect(1, ids(1, 1)), null],
    [() => matrix().indexSelect(0, ids(1)), []],
    [() => matrix().indexSelect(0, ids(2)), null],
    [() => matrix(2, 3).scatter(1, ids(2, 1), matrix(2, 1)), [2, 3]],
    [() => matrix(2, 3).scatter(1, ids(2, 1), matrix(2, 2)), [2, 3]],
    [() => matrix(2, 3).scatter(1, ids(2, 2), matrix(2, 1)), null],
    [() => matrix(2, 3).scatter(1, ids(2, 2), matrix(1, 2)), null],
    [() => matrix(2, 3).scatter(1, ids(2, 2), matrix(2)), null],
    [() => matrix(2, 3).indexAdd(1, ids(2), matrix(2, 2)), [2, 3]],
    [() => matrix(2, 3).indexAdd(1, ids(2), matrix(2, 3)), null],
    [() => matrix(2, 3).indexAdd(1, ids(1, 2), matrix(2, 2)), null],
    [() => matrix(2, 3).indexCopy(0, ids(1), matrix(1, 3)), [2, 3]],
    [() => matrix(2, 3).indexCopy(0, ids(1), matrix(3)), null],
    [() => F.embedding(ids(2, 2), matrix(3, 4)), [2, 2, 4]],
    [() => F.embedding(ids(2), matrix(3)), null],
    [() => F.embedding(ids(2), matrix(3, 1, 1)), null],
    [() => F.oneHot(ids(2), 1), [2, 1]],
    [() => F.oneHot(ids(2), 0), null],
    [() => F.oneHot(ids(2), 1.5), null],
  ],
  counts: [
    [() => matrix(2, 3).topk(3).values, [2, 3]],
    [() => matrix(2, 3).topk(4), null],
    [() => matrix(2, 3).topk(0).values, [2, 0]],
    [() => matrix(2, 3).topk(-1), null],
    [() => matrix(2, 3).topk(1.5), null],
    [() => matrix().topk(1).values, []],
    [() => matrix().topk(0).values, []],
    [() => matrix().topk(2), null],
    [() => ones([3]).multinomial(3), [3]],
    [() => ones([3]).multinomial(4), null],
    [() => ones([3]).multinomial(4, { replacement: true }), [4]],
    [() => ones([3]).multinomial(0), null],
    [() => ones([3]).multinomial(1.5), null],
    [() => ones([0]).multinomial(1), null],
    [() => ones([]).multinomial(1), null],
    [() => ones([2, 2]).multinomial(1), [2, 1]],
    [() => ones([1, 2, 2]).multinomial(1), null],
    [() => matrix(3).chunk(1)[0], [3]],
    [() => matrix(3).chunk(0), null],
    [() => matrix(3).split(0), null],
    [() => matrix(0).split(0)[0], [0]],
    [() => matrix(3).split(-1), null],
    [() => matrix(3).split([1, 2])[1], [2]],
    [() => matrix(3).split([1, 1]), null],
    [() => matrix(3).split([4, -1]), null],
    [() => randperm(0), [0]],
    [() => randperm(-1), null],
    [() => randperm(1.5), null],
    [() => randint(0, 1, [2]), [2]],
    [() => randint(1, 1, [2]), null],
    [() => randint(0.5, 2, [2]), null],
    [() => randint(0, 1.5, [2]), null],
  ],
  probabilities: [
    [() => matrix(2).dropout(0), [2]],
    [() => matrix(2).dropout(1), [2]],
    [() => matrix(2).dropout(1.001), null],
    [() => matrix(2).dropout(-0.001), null],
    [() => ids(2).dropout(0), [2]],
    [() => ids(2).dropout(0.5), null],
    [() => ids(2).dropout(0.5, false), [2]],
    [() => F.crossEntropy(matrix(2, 3), ids(2), { labelSmoothing: 1 }), []],
    [() => F.crossEntropy(matrix(2, 3), ids(2), { labelSmoothing: 1.001 }), null],
    [() => F.crossEntropy(matrix(2, 3), ids(2), { labelSmoothing: -0.001 }), null],
    [() => F.crossEntropy(matrix(2, 3), ids(2), { labelSmoothing: NaN }), null],
    [() => new nn.Dropout(1), undefined as never],
    [() => new nn.Dropout(1.001), null],
    [() => new nn.Dropout(-0.001), null],
  ],
  attention: [
    [() => F.scaledDotProductAttention(matrix(2, 4), matrix(3, 4), matrix(3, 5)), [2, 5]],
    [() => F.scaledDotProductAttention(matrix(1, 1, 2, 4), matrix(1, 1, 3, 4), matrix(1, 1, 3, 5)), [1, 1, 2, 5]],
    [() => F.scaledDotProductAttention(matrix(4), matrix(4), matrix(4)), null],
    [() => F.scaledDotProductAttention(matrix(1, 1, 1, 2, 4), matrix(1, 1, 1, 3, 4), matrix(1, 1, 1, 3, 4)), null],
    [() => F.scaledDotProductAttention(matrix(1, 2, 4), matrix(3, 4), matrix(3, 5)), null],
    [() => F.scaledDotProductAttention(matrix(2, 4), matrix(3, 4), matrix(1, 3, 5)), null],
    [() => F.scaledDotProductAttention(matrix(2, 4), matrix(3, 3), matrix(3, 5)), null],
    [() => F.scaledDotProductAttention(matrix(2, 4), matrix(3, 4), matrix(2, 5)), null],
    [() => F.scaledDotProductAttention(matrix(2, 4), matrix(3, 4), matrix(3, 5), { mask: matrix(2, 3) }), [2, 5]],
    [() => F.scaledDotProductAttention(matrix(2, 4), matrix(3, 4), matrix(3, 5), { mask: matrix(3, 2) }), null],
    [() => F.scaledDotProductAttention(matrix(2, 4), matrix(3, 4), matrix(3, 5), { dropoutP: 1.001 }), null],
    [() => F.scaledDotProductAttention(matrix(2, 0), matrix(3, 0), matrix(3, 5)), [2, 5]],
  ],
  losses: [F.mseLoss, F.l1Loss, F.binaryCrossEntropy, F.binaryCrossEntropyWithLogits].flatMap((loss): Row[] => [
    [() => loss(matrix(2, 3), matrix(2, 3)), []],
    [() => loss(matrix(2, 3), matrix(2, 3), { reduction: 'none' }), [2, 3]],
    [() => loss(matrix(2, 3), matrix(2, 3), { reduction: 'sum' }), []],
    [() => loss(matrix(2, 3), matrix(2, 3), { reduction: any('all') }), null],
    [() => loss(matrix(2, 3), matrix(3)), null],
    [() => loss(matrix(2), zeros([2], { dtype: 'bool', device: 'cpu' })), null],
  ]),
};

describe.each(Object.entries(rows))('%s', (_, list) =>
  test.each(list.map(([call, shape]) => [String(call).replace(/^\(\) => /, ''), call, shape] as const))(
    '%s',
    (_, call, shape) =>
      tidy(() => {
        if (shape === null) expect(call).toThrow(CastorError);
        else expect(call().shape).toEqual(shape);
      }),
  ),
);

describe('the numbers that a dtype holds', () => {
  /** The next double, towards or away from 0. */
  const next = (value: number, up: boolean): number => {
    const bits = new BigInt64Array(new Float64Array([value]).buffer);
    bits[0]! += up ? 1n : -1n;
    return new Float64Array(bits.buffer)[0]!;
  };
  const largest: readonly [DType, number, number][] = [
    ['float16', 65504, -65504],
    ['bfloat16', 2 ** 127 * (2 - 2 ** -7), -(2 ** 127) * (2 - 2 ** -7)],
    ['float32', 2 ** 127 * (2 - 2 ** -23), -(2 ** 127) * (2 - 2 ** -23)],
    ['uint8', 255, 0],
    ['int32', 2 ** 31 - 1, -(2 ** 31)],
    ['int64', 2 ** 63 - 1024, -(2 ** 63)],
  ];
  test.each(largest)('%s, up to %p and down to %p', (dtype, most, least) =>
    tidy(() => {
      for (const value of [most, least]) {
        expect(Number(full([], value, { dtype, device: 'cpu' }).dataSync()[0])).toBe(value);
        const whole = dtype.startsWith('float') || dtype === 'bfloat16' ? null : value === most ? value + 1 : value - 1;
        // At this size, doubles are as far apart as integers or further.
        const beyond = whole !== null && whole !== value ? whole : next(value, true);
        expect(() => full([], beyond, { dtype, device: 'cpu' })).toThrow(dtype);
        expect(() => zeros([1], { dtype, device: 'cpu' }).fill_(beyond)).toThrow(dtype);
        expect(() =>
          zeros([1], { dtype, device: 'cpu' }).maskedFill(tensor([true], { device: 'cpu' }), beyond),
        ).toThrow(dtype);
      }
      if (dtype.includes('float')) expect(full([], Infinity, { dtype, device: 'cpu' }).itemSync()).toBe(Infinity);
    }),
  );
  test.each<[string, () => Tensor, boolean]>([
    ['arange to 256 in uint8', () => arange(0, 256, 1, { dtype: 'uint8', device: 'cpu' }), true],
    ['arange to 257 in uint8', () => arange(0, 257, 1, { dtype: 'uint8', device: 'cpu' }), false],
    ['arange from -1 in uint8', () => arange(-1, 3, 1, { dtype: 'uint8', device: 'cpu' }), false],
    ['arange of nothing beyond uint8', () => arange(300, 300, 1, { dtype: 'uint8', device: 'cpu' }), true],
    ['arange downwards', () => arange(3, -1, -1, { dtype: 'uint8', device: 'cpu' }), true],
    ['arange below 0', () => arange(3, -2, -1, { dtype: 'uint8', device: 'cpu' }), false],
    ['arange of bool', () => arange(0, 2, 1, { dtype: 'bool', device: 'cpu' }), false],
    ['arange the wrong way', () => arange(0, 2, -1, { device: 'cpu' }), false],
    ['arange the wrong way downwards', () => arange(2, 0, 1, { device: 'cpu' }), false],
    ['arange without a step', () => arange(0, 2, 0, { device: 'cpu' }), false],
    ['linspace to 255 in uint8', () => linspace(0, 255, 3, { dtype: 'uint8', device: 'cpu' }), true],
    ['linspace to 256 in uint8', () => linspace(0, 256, 3, { dtype: 'uint8', device: 'cpu' }), false],
    ['linspace from -1 in uint8', () => linspace(-1, 3, 3, { dtype: 'uint8', device: 'cpu' }), false],
    ['linspace of bool', () => linspace(0, 1, 2, { dtype: 'bool', device: 'cpu' }), false],
    ['randint to 255 in uint8', () => randint(0, 256, [9], { dtype: 'uint8', device: 'cpu' }), true],
    ['randint to 256 in uint8', () => randint(0, 257, [9], { dtype: 'uint8', device: 'cpu' }), false],
    ['randint from -1 in uint8', () => randint(-1, 3, [9], { dtype: 'uint8', device: 'cpu' }), false],
    ['randint to 1 in bool', () => randint(0, 2, [9], { dtype: 'bool', device: 'cpu' }), true],
    ['randint to 2 in bool', () => randint(0, 3, [9], { dtype: 'bool', device: 'cpu' }), false],
    ['randperm of 256 in uint8', () => randperm(256, { dtype: 'uint8', device: 'cpu' }), true],
    ['randperm of 257 in uint8', () => randperm(257, { dtype: 'uint8', device: 'cpu' }), false],
    ['randperm of 257 in bfloat16', () => randperm(257, { dtype: 'bfloat16', device: 'cpu' }), true],
    ['randperm of 258 in bfloat16', () => randperm(258, { dtype: 'bfloat16', device: 'cpu' }), false],
    ['randperm of 2049 in float16', () => randperm(2049, { dtype: 'float16', device: 'cpu' }), true],
    ['randperm of 2050 in float16', () => randperm(2050, { dtype: 'float16', device: 'cpu' }), false],
    ['randperm of 2^24 + 2 in float32', () => randperm(2 ** 24 + 2, { dtype: 'float32', device: 'cpu' }), false],
    ['randperm of 2 in bool', () => randperm(2, { dtype: 'bool', device: 'cpu' }), true],
    ['randperm of 3 in bool', () => randperm(3, { dtype: 'bool', device: 'cpu' }), false],
    ['randperm of 1 in bool', () => randperm(1, { dtype: 'bool', device: 'cpu' }), true],
  ])('%s', (name, make, fits) =>
    tidy(() => {
      if (!fits) return void expect(make).toThrow(CastorError);
      const t = make();
      if (!name.startsWith('randperm')) return;
      const values = Array.from(t.dataSync(), Number).sort((a, b) => a - b);
      expect(values).toEqual(Array.from({ length: t.numel }, (_, i) => i));
    }),
  );
  test('a number beyond int64 makes integers floating, one within does not', () =>
    tidy(() => {
      const x = ids(1);
      for (const [value, dtype] of [
        [2 ** 63 - 1024, 'int64'],
        [2 ** 63, 'float32'],
        [-(2 ** 63), 'int64'],
        [next(-(2 ** 63), true), 'float32'],
        [0.5, 'float32'],
      ] as const)
        expect([value, x.add(value).dtype]).toEqual([value, dtype]);
    }));
});

describe('windows of bytes', () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  test.each<[number, number, number | null]>([
    [1, 1, 1],
    [1, 2, 2],
    [2, 1, 1],
    [0, 1, null],
    [1, 0, null],
    [1.5, 1, null],
    [1, 1.5, null],
    [-1, 1, null],
    [1, -1, null],
  ])('spread(%p, %p)', (batch, count, batches) =>
    tidy(() => {
      using windows = new data.ByteWindows(bytes('abcdef'), 2, { device: 'cpu' });
      const spread = () => [...windows.spread(batch, count)];
      if (batches === null) expect(spread).toThrow(/is not an integer > 0/);
      else
        expect(spread().map(({ input, target }) => [input.shape, target.shape])).toEqual(
          Array(batches).fill([
            [batch, 2],
            [batch, 2],
          ]),
        );
    }),
  );
  test('of a text of two bytes there is one', () =>
    tidy(() => {
      using windows = new data.ByteWindows(bytes('ab'), 1, { device: 'cpu' });
      expect(windows.length).toBe(2);
      expect([...windows.spread(1, 1)].map(({ input }) => input.toArraySync())).toEqual([[[97]]]);
      expect(windows.random(3, new Generator(1)).input.toArraySync()).toEqual([[97], [97], [97]]);
    }));
});
