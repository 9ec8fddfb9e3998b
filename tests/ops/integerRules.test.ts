import { describe, expect } from 'bun:test';
import {
  ArgumentError,
  autocast,
  cat,
  DTypeError,
  F,
  graph,
  tensor,
  tidy,
  zeros,
  type Device,
  type DType,
  type Tensor,
} from 'castor';
import { devices, tidyTest as it } from '../setup.ts';

type Values = (number | bigint)[];
const integers = ['int32', 'int64', 'uint8'] as const;
const least = { int32: -(2 ** 31), int64: -(2 ** 63), uint8: 0 };
const make = (values: Values, dtype: DType, device: Device): Tensor =>
  dtype === 'int64' ? tensor(values.map(BigInt), { dtype, device }) : tensor(values.map(Number), { dtype, device });
const list = (t: Tensor): string[] => Array.from(t.dataSync() as ArrayLike<number | bigint>, String);
/** 'int32 1 2 3'. */
const text = (t: Tensor): string => [t.dtype, ...list(t)].join(' ');

/** Checks that a call fails: at once on the CPU; on a GPU when the next call waits for it. */
function fails(run: () => Tensor, message: RegExp): void {
  const read = (): unknown => run().dataSync();
  expect(() => tidy(read)).toThrow(ArgumentError);
  expect(() => tidy(read)).toThrow(message);
}
const ZERO = /an integer is divided by 0\. Convert an operand to a float dtype/;
const NEGATIVE = /an integer is raised to a negative power\. Convert an operand to a float dtype/;

describe.each([...devices])('integers on %s:', device => {
  describe.each(['floorDivide', 'remainder', 'fmod'] as const)('%s by zero is refused', op => {
    for (const dtype of integers) {
      const of = (...values: Values): Tensor => make(values, dtype, device);
      const column = (...values: Values): Tensor => of(...values).unsqueeze(1);
      it(`of ${dtype} by a number`, () => fails(() => of(7, 8)[op](0), ZERO));
      it(`of ${dtype} by a tensor`, () => fails(() => of(7, 8)[op](of(1, 0)), ZERO));
      it(`of ${dtype} by a tensor of rank 0`, () => fails(() => of(7, 8)[op](of(0).reshape([])), ZERO));
      it(`of ${dtype} by bool`, () => fails(() => of(7, 8)[op](tensor([true, false], { device })), ZERO));
      it(`of a number by ${dtype}`, () => fails(() => F[op](7, of(1, 2, 0)), ZERO));
      it(`of ${dtype}, broadcast`, () => fails(() => column(1, 2, 3)[op](of(1, 0)), ZERO));
      it(`of ${dtype}, transposed, one zero among many`, () => {
        const divisor = zeros([90, 70], { dtype, device }).add(1);
        divisor.select(0, 89).select(0, 3).fill_(0);
        fails(() => zeros([70, 90], { dtype, device })[op](divisor.T), ZERO);
      });
      it(`of ${dtype} in place`, () => fails(() => of(7, 8)[`${op}_`](of(1, 0)), ZERO));
      it(`of an empty ${dtype} is empty`, () => {
        expect(text(of()[op](0))).toBe(dtype);
        expect(text(of()[op](of(0)))).toBe(dtype);
        expect(text(F[op](7, of()))).toBe(dtype);
      });
      it(`of ${dtype} by 0 as a float is floating`, () => {
        const out = of(7)[op](tensor([0], { dtype: 'float32', device }));
        expect(text(out)).toBe(`float32 ${op === 'floorDivide' ? 'Infinity' : 'NaN'}`);
      });
      if (dtype !== 'uint8')
        it(`of the least ${dtype} by -1 wraps around`, () => {
          const x = of(BigInt(least[dtype]), 5);
          const exact = op === 'floorDivide' ? [BigInt(least[dtype]), -5] : [0, 0];
          const expected = [dtype, ...exact].join(' ');
          expect([x[op](-1), x[op](of(-1)), x.clone()[`${op}_`](-1)].map(text)).toEqual([expected, expected, expected]);
        });
    }
    it('names the position in the divisor', () => {
      if (device !== 'cpu') return;
      fails(() => make([1, 1], 'int64', device)[op](make([3, 0], 'int64', device)), /at position 1 an integer/);
    });
  });

  if (device === 'cpu')
    it('what is refused leaves its target as it was', () => {
      const x = make([7, 8, 9], 'int32', device);
      expect(() => x.floorDivide_(make([2, 2, 0], 'int32', device))).toThrow(ArgumentError);
      expect(list(x)).toEqual(['7', '8', '9']);
    });

  it('a graph refuses the zero of the replay that meets it', () => {
    const [x, divisor] = [make([8, 8], 'int64', device), make([1, 2], 'int64', device)];
    using captured = graph.capture(() => x.floorDivide(divisor), { device });
    captured.replay();
    expect(text(captured.result)).toBe('int64 8 4');
    divisor.zero_();
    fails(() => {
      captured.replay();
      return captured.result;
    }, ZERO);
  });

  it('negative powers are refused, of numbers and tensors', () => {
    for (const dtype of ['int32', 'int64'] as const) {
      const x = make([1, 2], dtype, device);
      fails(() => x.pow(-1), NEGATIVE);
      fails(() => x.pow(make([1, -2], dtype, device)), NEGATIVE);
      fails(() => F.pow(2, make([1, -2], dtype, device)), NEGATIVE);
      fails(() => x.clone().pow_(-1), NEGATIVE);
      fails(() => make([1, 2], 'uint8', device).pow(-1), NEGATIVE);
      expect(text(x.pow(-1.5).ge(0))).toBe('bool 1 1');
      expect(text(x.pow(0))).toBe(`${dtype} 1 1`);
    }
  });
  it('powers wrap around', () => {
    expect(text(make([3, 2, 10], 'uint8', device).pow(make([6, 8, 3], 'uint8', device)))).toBe('uint8 217 0 232');
    expect(text(make([3, -2], 'int64', device).pow(40))).toBe(
      'int64 12157665459056928801 1099511627776'.replace('12157665459056928801', String(BigInt.asIntN(64, 3n ** 40n))),
    );
    expect(text(make([2], 'int32', device).pow(31))).toBe('int32 -2147483648');
  });

  it('int64 compares exactly with numbers: beyond 2^53, fractions, 2^63, NaN and infinities', () => {
    const x = make([2n ** 53n, 2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n, 3n], 'int64', device);
    const row = (t: Tensor): string => list(t).join('');
    expect(row(x.eq(2 ** 53))).toBe('10000');
    expect(row(x.gt(2 ** 53))).toBe('01010');
    expect(row(x.le(2.5))).toBe('00100');
    expect(row(x.ge(2.5))).toBe('11011');
    expect(row(x.eq(2.5))).toBe('00000');
    expect(row(x.lt(2 ** 63))).toBe('11111');
    expect(row(x.ge(2 ** 63))).toBe('00000');
    expect(row(x.eq(2 ** 63))).toBe('00000');
    expect(row(x.ge(-(2 ** 63)))).toBe('11111');
    expect(row(x.eq(-(2 ** 63)))).toBe('00100');
    expect(row(x.lt(1e300))).toBe('11111');
    expect(row(x.lt(Infinity))).toBe('11111');
    expect(row(x.gt(-Infinity))).toBe('11111');
    expect(row(x.ne(NaN))).toBe('11111');
    expect(row(x.le(NaN))).toBe('00000');
    expect(row(F.lt(2.5, x))).toBe('11011');
  });
  it('a 16-bit float compares with the number as its dtype holds it', () => {
    for (const dtype of ['float16', 'bfloat16'] as const) {
      const x = tensor([0.1, 0.3], { dtype, device });
      expect(text(x.eq(0.1))).toBe('bool 1 0');
      expect(text(x.gt(0.1))).toBe('bool 0 1');
    }
  });

  it('numbers that a dtype cannot hold wrap around in sums and products, and are refused elsewhere', () => {
    const x = make([3, 255], 'uint8', device);
    expect([x.add(256), x.add(-1), x.mul(-2), x.bitwiseAnd(257)].map(text)).toEqual([
      'uint8 3 255',
      'uint8 2 254',
      'uint8 250 2',
      'uint8 1 1',
    ]);
    for (const run of [
      () => x.maximum(256),
      () => x.minimum(-1),
      () => x.floorDivide(-2),
      () => x.where(x.gt(3), 256),
      () => F.floorDivide(300, x),
    ])
      expect(() => tidy(run)).toThrow(
        /uint8 holds 0 to 255, not .* Convert the tensor to a dtype that holds the number/,
      );
    expect(text(x.div(510))).toBe(`float32 ${Math.fround(3 / 510)} 0.5`);
    expect(text(make([1], 'int64', device).add(1e300))).toBe('float32 Infinity');
  });

  it('arithmetic of bool that has no meaning is refused, and says what to call', () => {
    const x = tensor([true, false], { device });
    const refused: [() => Tensor, RegExp][] = [
      [() => x.neg(), /neg: this op is not defined for bool\. Invert a mask with logicalNot\(\)/],
      [() => x.neg_(), /neg_: this op is not defined for bool/],
      [() => x.sub(x), /sub: .*Use logicalXor\(\)/],
      [() => x.sub(1), /sub: this op is not defined for bool/],
      [() => F.sub(1, x), /sub: this op is not defined for bool/],
      [() => zeros([2], { device }).sub(x), /sub: this op is not defined for bool/],
      [() => zeros([2], { device }).sub_(x), /sub_: this op is not defined for bool/],
      ...(['abs', 'floor', 'ceil', 'round', 'trunc', 'relu'] as const).map(
        op =>
          [() => x[op](), new RegExp(`${op}: this op is not defined for bool.*to\\('int64'\\)`)] as [
            () => Tensor,
            RegExp,
          ],
      ),
      ...(['fmod', 'remainder', 'floorDivide', 'pow', 'hypot'] as const).map(
        op => [() => x[op](x), new RegExp(`${op}: this op is not defined for bool`)] as [() => Tensor, RegExp],
      ),
      [() => x.addcmul(x, x), /addcmul: this op is not defined for bool/],
      [() => x.square_(), /square_: an integer result cannot be written to bool/],
      [() => x.add_(1), /add_: an integer result cannot be written to bool/],
      [() => x.bitwiseOr_(make([1, 2], 'int64', device)), /an integer result cannot be written to bool/],
    ];
    for (const [run, message] of refused) {
      expect(() => tidy(run)).toThrow(DTypeError);
      expect(() => tidy(run)).toThrow(message);
    }
  });
  it('bool computes where it has a meaning', () => {
    const x = tensor([true, false, true], { device });
    expect(
      [x.add(x), x.mul(x), x.add(1), x.square(), x.pow(2), x.maximum(x.logicalNot()), x.sign(), x.reciprocal()].map(
        text,
      ),
    ).toEqual([
      'bool 1 0 1',
      'bool 1 0 1',
      'int64 2 1 2',
      'int64 1 0 1',
      'int64 1 0 1',
      'bool 1 1 1',
      'bool 1 0 1',
      'float32 1 Infinity 1',
    ]);
    expect([x.sort().values, x.sort(0, { descending: true }).indices, x.cumsum(0), x.sum()].map(text)).toEqual([
      'bool 0 1 1',
      'int64 0 2 1',
      'int64 1 1 2',
      'int64 2',
    ]);
    expect(text(x.clamp({ min: 0, max: 0 }))).toBe('int64 0 0 0');
  });

  it('clamp needs a bound, and one that the dtype can hold', () => {
    const x = make([3, 200], 'uint8', device);
    expect(() => x.clamp({})).toThrow(/neither min nor max is given/);
    expect(() => x.clamp({ min: 256 })).toThrow(/min 256 is outside of what uint8 holds, 0 to 255/);
    expect(() => x.clamp({ max: -1 })).toThrow(/max -1 is outside of what uint8 holds/);
    expect(() => zeros([1], { dtype: 'float16', device }).clamp({ min: 1e5 })).toThrow(/min 100000 is outside/);
    expect(text(x.clamp({ min: -129, max: 300 }))).toBe('uint8 3 200');
    expect(text(x.clamp({ min: 5, max: 4 }))).toBe('uint8 4 4');
    expect(text(x.clamp({ min: -Infinity }))).toBe('float32 3 200');
  });
  it('a clamp bound of NaN makes every element NaN, in every float dtype', () => {
    for (const dtype of ['float32', 'float64', 'float16', 'bfloat16'] as const) {
      const x = tensor([1, NaN, Infinity], { dtype, device });
      for (const bounds of [{ min: NaN }, { max: NaN }, { min: NaN, max: 1 }, { min: 1, max: NaN }])
        expect(list(x.clamp(bounds))).toEqual(['NaN', 'NaN', 'NaN']);
      expect(list(x.clamp({ min: 2, max: 3 }))).toEqual(['2', 'NaN', '3']);
    }
  });

  it('maskedFill keeps the dtype of x, whatever fills it', () => {
    const mask = tensor([true, false], { device });
    const fill = (dtype: DType, value: number | Tensor): string =>
      text(zeros([2], { dtype, device }).maskedFill(mask, value));
    expect(fill('int32', make([5], 'int64', device))).toBe('int32 5 0');
    expect(fill('float16', tensor([0.1], { device }))).toBe(`float16 ${Math.f16round(0.1)} 0`);
    expect(fill('float16', tensor([0.1], { dtype: 'float64', device }))).toBe(`float16 ${Math.f16round(0.1)} 0`);
    expect(fill('int64', tensor([true], { device }))).toBe('int64 1 0');
    expect(fill('bool', 5)).toBe('bool 1 0');
    expect(fill('float16', -Infinity)).toBe('float16 -Infinity 0');
    expect(
      autocast({ dtype: 'bfloat16', device: device.split(':')[0] as 'cpu' }, () =>
        fill('bfloat16', tensor([2], { device })),
      ),
    ).toBe('bfloat16 2 0');
  });
  it('maskedFill refuses what x cannot hold', () => {
    const mask = tensor([true, false], { device });
    const x = (dtype: DType): Tensor => zeros([2], { dtype, device });
    const refused: [() => Tensor, RegExp][] = [
      [() => x('int64').maskedFill(mask, 0.5), /int64 cannot hold 0\.5\. .*or use where\(\), which promotes/],
      [() => x('int64').maskedFill(mask, NaN), /int64 cannot hold NaN/],
      [() => x('int64').maskedFill(mask, 2 ** 63), /int64 cannot hold/],
      [() => x('uint8').maskedFill(mask, -1), /uint8 cannot hold -1/],
      [() => x('float16').maskedFill(mask, -1e9), /float16 cannot hold -1000000000/],
      [() => x('int64').maskedFill(mask, tensor([0.5], { device })), /int64 cannot hold a float32 tensor/],
      [() => x('bool').maskedFill(mask, make([1], 'int64', device)), /bool cannot hold a int64 tensor/],
      [() => x('int64').maskedFill(make([1, 0], 'uint8', device), 1), /maskedFill: the mask must be bool, not uint8/],
    ];
    for (const [run, message] of refused) {
      expect(() => tidy(run)).toThrow(DTypeError);
      expect(() => tidy(run)).toThrow(message);
    }
  });
  it('maskedFill passes gradients to what stays and to what fills', () => {
    const x = tensor([1, 2, 3], { device, dtype: 'bfloat16', requiresGrad: true });
    const value = tensor([7], { device, requiresGrad: true });
    x.maskedFill(tensor([true, false, true], { device }), value)
      .sum()
      .backward();
    expect(text(x.grad!)).toBe('bfloat16 0 1 0');
    expect(text(value.grad!)).toBe('float32 2');
    x.grad!.dispose();
    value.grad!.dispose();
  });

  it('addcmul of integers takes a whole factor', () => {
    const x = make([1, 2], 'int64', device);
    expect(text(x.addcmul(x, x, 3))).toBe('int64 4 14');
    expect(() => tidy(() => x.addcmul(x, x, 0.5))).toThrow(/integers cannot be multiplied by 0\.5/);
    expect(() => tidy(() => x.addcmul(x, x, NaN))).toThrow(ArgumentError);
  });
  it('numbers do not widen what three operands meet in', () => {
    const half = tensor([1, 2], { dtype: 'float16', device });
    expect(half.lerp(2, 0.5).dtype).toBe('float16');
    expect(half.addcmul(2, 3).dtype).toBe('float16');
    expect(half.addcmul(tensor(2, { device }), half).dtype).toBe('float16');
    expect(half.addcmul(tensor([2], { device }), half).dtype).toBe('float32');
    expect(F.where(tensor([true], { device }), 1, 2).dtype).toBe('int64');
    expect(F.where(tensor([true], { device }), 1, 2.5).dtype).toBe('float32');
  });

  it('floats become integers without their fraction, within the ends of the dtype; NaN is 0; uint8 wraps', () => {
    const x = tensor([1.9, -1.9, NaN, Infinity, -Infinity, 1e30], { dtype: 'float64', device });
    expect([x.to('int32'), x.to('int64'), x.slice(0, 0, 3).to('uint8'), x.to('bool')].map(text)).toEqual([
      'int32 1 -1 0 2147483647 -2147483648 2147483647',
      'int64 1 -1 0 9223372036854775807 -9223372036854775808 9223372036854775807',
      'uint8 1 255 0',
      'bool 1 1 1 1 1 1',
    ]);
  });
  it('what is written as a number must be one that the dtype holds', () => {
    const bytes = make([1, 2], 'uint8', device);
    const half = zeros([2], { dtype: 'float16', device });
    const first = make([0], 'int64', device);
    for (const run of [
      () => bytes.fill_(256),
      () => bytes.fill_(-1),
      () => make([1], 'int64', device).fill_(NaN),
      () => make([1], 'int32', device).fill_(2 ** 31),
      () => half.fill_(-1e9),
      () => bytes.scatter(0, first, 300),
      () => bytes.set_(0, 300),
      () => half.set_(0, 1e5),
    ]) {
      expect(() => tidy(run)).toThrow(DTypeError);
      expect(() => tidy(run)).toThrow(/ (is not a value of|is beyond the largest) /);
    }
    expect([list(bytes), list(half)]).toEqual([
      ['1', '2'],
      ['0', '0'],
    ]);
    expect(list(half.fill_(-Infinity))).toEqual(['-Infinity', '-Infinity']);
  });
  it('losses of bool targets say so', () => {
    const [x, target] = [tensor([0.5, 0.25], { device }), tensor([true, false], { device })];
    for (const loss of ['binaryCrossEntropy', 'binaryCrossEntropyWithLogits', 'mseLoss', 'l1Loss'] as const)
      expect(() => F[loss](x, target)).toThrow(
        new RegExp(`${loss}: the target is bool\\. Convert it with to\\('float32'\\)`),
      );
  });
  it('dropout of integers is refused, except where it drops nothing', () => {
    const x = make([1, 2], 'int64', device);
    expect(() => F.dropout(x, 0.5)).toThrow(DTypeError);
    expect(F.dropout(x, 0)).toBe(x);
    expect(F.dropout(x, 0.5, false)).toBe(x);
  });
  it('sums over many integers and bool do not overflow their dtype', () => {
    const bytes = zeros([1000], { dtype: 'uint8', device }).add(255);
    expect([bytes.sum(), cat([bytes, bytes]).cumsum(0).amax()].map(text)).toEqual(['int64 255000', 'int64 510000']);
  });
});
