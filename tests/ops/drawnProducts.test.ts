/**
 * Products, convolutions and attention of many sizes, dtypes, layouts and options, compared with plain loops and with
 * composed ops.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { autograd, F, full, tidy, type DType, warnings, zeros, type FloatDType, type Tensor } from 'castor';
import { Dice } from '../dice.ts';
import { conv2d, convInputGrad, convWeightGrad, matmul, type Window } from '../reference/products.ts';
import { build, type Values } from '../reference/values.ts';
import { devices, onEmulator, sized } from '../setup.ts';
import { contiguous, eighths, expectAgreement, expectValues, laid, wholeNumbers } from './drawn.ts';

beforeAll(() => warnings.disable('CASTOR_FLOAT16_UNSCALED'));
afterAll(() => warnings.enable('CASTOR_FLOAT16_UNSCALED'));

const floats: readonly FloatDType[] = ['float32', 'float64', 'float16', 'bfloat16'];
const anyNumber: readonly DType[] = [...floats, 'int32', 'int64', 'uint8'];

describe.each([...devices])('products on %s', device => {
  const leads: readonly [readonly number[], readonly number[]][] = [
    [[], []],
    [[3], [3]],
    [[2], []],
    [[], [5]],
    [[2, 1], [3]],
    [
      [2, 3],
      [2, 3],
    ],
    [
      [1, 4],
      [3, 1],
    ],
    [
      [2, 1, 3],
      [2, 1],
    ],
  ];
  test('of matrices in any batch', () => {
    const dice = new Dice(31);
    const side = (): number => dice.pick(onEmulator ? [1, 3, 5, 9] : [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 24, 25, 33, 49]);
    for (const [a, b] of leads)
      for (const dtype of onEmulator ? floats : anyNumber) {
        const [m, k, n] = [side(), side(), side()];
        const most = dtype === 'uint8' ? 0 : 2;
        const positive = (v: Values): Values => (most ? v : { ...v, data: v.data.map(() => dice.below(4)) });
        const left = positive(wholeNumbers([...a, m, k], dice, most));
        const right = positive(wholeNumbers([...b, k, n], dice, most));
        tidy(() => {
          const out = laid(left, dtype, device, dice).matmul(laid(right, dtype, device, dice));
          expectValues(out, matmul(left, right), `${dtype} [${left.shape}] [${right.shape}]`);
        });
      }
  });
  test('with a bias, of few and of many rows', () => {
    const dice = new Dice(32);
    for (const m of onEmulator ? [1, 6] : [1, 2, 3, 4, 5, 6, 9, 70])
      for (const n of onEmulator ? [1, 9] : [1, 3, 4, 5, 8, 9, 130, 200])
        for (const dtype of floats) {
          const [x, w] = [wholeNumbers([m, 13], dice), wholeNumbers([n, 13], dice)];
          const bias = wholeNumbers([n], dice, 100);
          const product = matmul(x, { shape: [13, n], data: build([13, n], ([i, j]) => w.data[j! * 13 + i!]!).data });
          const wanted = { shape: [m, n], data: product.data.map((v, i) => v + bias.data[i % n]!) };
          tidy(() => {
            const [a, b, c] = [x, w, bias].map(v => laid(v, dtype, device, dice)) as [Tensor, Tensor, Tensor];
            expectValues(F.linear(a, b, c), wanted, `${dtype} ${m} ${n}`);
          });
        }
  });
});

interface Drawn {
  readonly x: Values;
  readonly weight: Values;
  readonly bias: Values | null;
  readonly window: Window;
}

function drawConvolution(dice: Dice, large: boolean): Drawn | null {
  const pair = (...of: number[]): [number, number] => [dice.pick(of), dice.pick(of)];
  const groups = dice.pick([1, 1, 2, 3]);
  const images = dice.pick(large ? [1, 2] : [1, 2, 9]);
  const each = dice.pick(large ? [1, 2, 17] : [1, 1, 2, 3, 4, 5, 9, 17, 33]);
  const channels = dice.pick([1, 1, 2, 4, 5]);
  const size = large ? pair(65, 70, 130) : pair(1, 2, 3, 5, 8, 9);
  const kernel = pair(1, 1, 2, 3);
  const window = { stride: pair(1, 1, 2, 3), padding: pair(0, 1, 2), dilation: pair(1, 1, 2), groups };
  const covers = (i: 0 | 1): boolean => size[i] + 2 * window.padding[i] > window.dilation[i] * (kernel[i] - 1);
  const work = images * each * groups * channels * size[0] * size[1] * kernel[0] * kernel[1];
  if (!covers(0) || !covers(1) || work > (onEmulator ? 4000 : 400000)) return null;
  return {
    x: wholeNumbers([images, channels * groups, ...size], dice),
    weight: wholeNumbers([each * groups, channels, ...kernel], dice),
    bias: dice.below(2) ? wholeNumbers([each * groups], dice, 20) : null,
    window,
  };
}

describe.each([...devices])('convolutions on %s', device => {
  function check({ x, weight, bias, window }: Drawn, dtype: FloatDType, dice: Dice): void {
    const what = `${dtype} [${x.shape}] [${weight.shape}] ${JSON.stringify(window)}`;
    tidy(() => {
      const leaves = [x, weight].map(v => laid(v, dtype, device, dice).requiresGrad_()) as [Tensor, Tensor];
      const out = F.conv2d(...leaves, bias && laid(bias, dtype, device, dice), window);
      expectValues(out, conv2d(x, weight, bias, window), what);
      const gradient = wholeNumbers(out.shape, dice);
      const grads = autograd.grad([out], leaves, { gradOutputs: [laid(gradient, dtype, device, dice)] });
      expectValues(grads[0]!, convInputGrad(gradient, weight, x.shape, window), `${what}, gradient of the input`);
      expectValues(grads[1]!, convWeightGrad(x, gradient, weight.shape, window), `${what}, gradient of the weight`);
    });
  }
  test('of any window, stride, padding, dilation and groups', () => {
    const dice = new Dice(33);
    for (let i = 0; i < sized(220, 40); i++) {
      const drawn = drawConvolution(dice, false);
      if (drawn) check(drawn, dice.pick(floats), dice);
    }
  });
  test('of one tap, with padding, in every small size', () => {
    const dice = new Dice(35);
    const numbers = onEmulator ? [1, 2] : [1, 2, 4];
    for (const height of numbers)
      for (const width of numbers)
        for (const stride of [1, 2, 3])
          for (const padding of [0, 1, 2]) {
            const window: Window = { stride: [stride, stride], padding: [padding, padding], dilation: [1, 1] };
            const [x, weight] = [wholeNumbers([2, 3, height, width], dice), wholeNumbers([9, 3, 1, 1], dice)];
            check({ x, weight, bias: null, window }, dice.pick(floats), dice);
          }
  });
  test('whose output is as large as the image, with taps beside it', () => {
    const dice = new Dice(36);
    for (const [height, width] of onEmulator
      ? [[2, 3]]
      : [
          [1, 1],
          [3, 1],
          [1, 4],
          [3, 4],
          [9, 10],
          [24, 30],
        ])
      for (const kernel of [3, 5])
        for (const dilation of [1, 2, 5]) {
          const padding = (dilation * (kernel - 1)) / 2;
          const window: Window = { stride: [1, 1], padding: [padding, padding], dilation: [dilation, dilation] };
          const x = wholeNumbers([2, 2, height!, width!], dice);
          check(
            { x, weight: wholeNumbers([20, 2, kernel, kernel], dice), bias: null, window },
            dice.pick(floats),
            dice,
          );
        }
  });
  test('of a part of an image whose rows are as far apart as those of the output', () => {
    const dice = new Dice(37);
    const window: Window = { stride: [1, 1], padding: [2, 2], dilation: [1, 1] };
    const [x, weight] = [wholeNumbers([2, 2, 5, 10], dice), wholeNumbers([20, 2, 3, 3], dice)];
    for (const dtype of floats)
      tidy(() => {
        const whole = full([2, 2, 5, 12], Infinity, { dtype, device });
        whole.narrow(3, 0, 10).copy_(contiguous(x, dtype, device));
        const out = F.conv2d(whole.narrow(3, 0, 10), contiguous(weight, dtype, device), null, window);
        expectValues(out, conv2d(x, weight, null, window), dtype);
      });
  });
  test.if(!onEmulator)('of images that are cut into bands of rows', () => {
    const dice = new Dice(34);
    for (let i = 0; i < 14; i++) {
      const drawn = drawConvolution(dice, true);
      if (drawn) check(drawn, dice.pick(['float32', 'float64']), dice);
    }
  });
  test('sum only over the rows that a tap reads, in the last band of rows too', () => {
    const window: Window = { stride: [1, 1], padding: [0, 0], dilation: [1, 1] };
    for (const height of onEmulator ? [5] : [65, 98, 131]) {
      const x = { shape: [1, 1, height, 67], data: new Float64Array(height * 67).fill(1) };
      x.data.fill(Infinity, (height - 1) * 67);
      const gradient = { shape: [1, 2, height - 2, 65], data: new Float64Array(2 * (height - 2) * 65).fill(1) };
      tidy(() => {
        const [a, b] = [contiguous(x, 'float32', device), zeros([2, 1, 3, 3], { device, requiresGrad: true })];
        const out = F.conv2d(a, b, null, window);
        const [grad] = autograd.grad([out], [b], { gradOutputs: [contiguous(gradient, 'float32', device)] });
        expectValues(grad!, convWeightGrad(x, gradient, [2, 1, 3, 3], window), `${height} rows`);
      });
    }
  });
  test('read only the pixels that the window meets', () => {
    const dice = new Dice(35);
    const window: Window = { stride: [1, 1], padding: [0, 0], dilation: [1, 1] };
    for (const each of [1, 3, 9, 20]) {
      const x = wholeNumbers([2, 2, 5, 7], dice);
      x.data.forEach((_, i) => i % 7 === 6 && (x.data[i] = Infinity));
      const gradient = { shape: [2, each, 3, 5], data: new Float64Array(each * 30).fill(1) };
      tidy(() => {
        const [a, b] = [
          contiguous(x, 'float32', device),
          contiguous(wholeNumbers([each, 2, 3, 3], dice), 'float32', device),
        ];
        const out = F.conv2d(a, b.requiresGrad_(), null, window);
        const [grad] = autograd.grad([out], [b], { gradOutputs: [contiguous(gradient, 'float32', device)] });
        expectValues(grad!, convWeightGrad(x, gradient, [each, 2, 3, 3], window), `${each} channels`);
      });
    }
  });
});

describe.each([...devices])('products of nothing on %s', device => {
  const nothing = (...shape: number[]): Tensor => zeros(shape, { device });
  const valuesOf = (t: Tensor): number[] => [...new Set(Array.from(t.dataSync(), Number))];
  test('are 0: of rows without elements', () =>
    tidy(() => expect(valuesOf(nothing(9, 0).matmul(nothing(0, 9)))).toEqual([0])));
  test('are the bias: of images without channels', () =>
    tidy(() => {
      const out = F.conv2d(nothing(1, 0, 5, 5), nothing(2, 0, 3, 3), nothing(2).add(3));
      expect(out.shape).toEqual([1, 2, 3, 3]);
      expect(valuesOf(out)).toEqual([3]);
    }));
  test('are 0: attention without keys', () =>
    tidy(() => {
      const out = F.scaledDotProductAttention(nothing(1, 1, 2, 3), nothing(1, 1, 0, 3), nothing(1, 1, 0, 3));
      expect(out.shape).toEqual([1, 1, 2, 3]);
      expect(valuesOf(out)).toEqual([0]);
    }));
  test('are empty: attention of vectors without elements', () =>
    tidy(() => {
      const empty = nothing(1, 1, 2, 0);
      expect(F.scaledDotProductAttention(empty, empty, empty).shape).toEqual([1, 1, 2, 0]);
    }));
});

/** Attention composed of products and softmax. */
const attended = (mask: Tensor | undefined, causal: boolean) => (q: Tensor, k: Tensor, v: Tensor) => {
  const scores = q.matmul(k.transpose(-1, -2)).mul(1 / Math.sqrt(q.shape.at(-1)!));
  const shown =
    mask === undefined ? scores : mask.isFloat ? scores.add(mask) : scores.maskedFill(mask.logicalNot(), -1e9);
  const [rows, columns] = scores.shape.slice(-2) as [number, number];
  const later = build([rows, columns], ([i, j]) => Number(j! > i!));
  const seen = causal ? shown.maskedFill(contiguous(later, 'bool', q.device), -1e9) : shown;
  return seen.softmax(-1).matmul(v);
};

describe.each([...devices])('attention on %s', device => {
  const maskShapes = (b: number, h: number, l: number, s: number): number[][] => [
    [l, s],
    [1, s],
    [l, 1],
    [h, l, s],
    [h, 1, s],
    [b, 1, l, s],
    [b, h, 1, s],
    [1, h, l, s],
    [b, h, l, s],
  ];
  const queries = onEmulator ? [1, 5, 17] : [1, 5, 63, 64, 65, 130];
  const keys = onEmulator ? [1, 6, 33] : [1, 6, 33, 255, 256, 257, 520];
  test('equals products around a softmax, with masks, causality and any numbers of queries and keys', () => {
    const dice = new Dice(36);
    for (const l of queries)
      for (const s of keys) {
        const [b, h] = dice.pick([
          [1, 1],
          [2, 3],
          [3, 1],
          [1, 2],
        ] as const);
        const [e, f] = [dice.pick([1, 4, 5, 33]), dice.pick([1, 3, 8, 20])];
        const causal = dice.below(2) === 1;
        const shape = dice.pick(maskShapes(b, h, l, s));
        const kind = dice.pick(['none', 'bool', 'added', 'float64']);
        // All queries see the first key, so that no row is empty.
        const bits = build(shape, index => (index.at(-1) === 0 ? 1 : Number(dice.below(3) > 0)));
        const bias = eighths(shape, dice);
        const dtype = dice.pick(['float32', 'float64', 'float32', 'float16'] as const);
        tidy(() => {
          const mask =
            kind === 'none'
              ? undefined
              : kind === 'bool'
                ? laid(bits, 'bool', device, dice)
                : laid(bias, dtype, device, dice);
          const wide = mask?.isFloat ? mask.to('float64') : mask;
          expectAgreement(
            {
              fused: (q, k, v) => F.scaledDotProductAttention(q, k, v, mask ? { mask, causal } : { causal }),
              composed: attended(wide, causal),
            },
            [eighths([b, h, l, e], dice), eighths([b, h, s, e], dice), eighths([b, h, s, f], dice)],
            dtype,
            device,
            dice,
            `${b} ${h} ${l} ${s} ${e} ${f} ${kind} [${shape}] causal ${causal}`,
          );
        });
      }
  });
  test('has scores that overflow exp', () => {
    tidy(() => {
      const q = contiguous({ shape: [1, 2], data: Float64Array.of(1000, 1000) }, 'float32', device);
      const k = contiguous({ shape: [2, 2], data: Float64Array.of(1000, 1000, -1000, -1000) }, 'float32', device);
      const v = contiguous({ shape: [2, 1], data: Float64Array.of(3, 5) }, 'float32', device);
      expect(F.scaledDotProductAttention(q, k, v).toArraySync()).toEqual([[3]]);
    });
  });
});
