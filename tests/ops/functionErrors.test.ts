/**
 * The errors of the elementary functions of float32, in units in the last place, over their whole range. float64, which uses the standard
 * library, is the reference. A 16-bit result is the float32 result, rounded once.
 */
import { describe, expect, test } from 'bun:test';
import { F, tensor, tidy, type Tensor } from 'castor';
import { devices } from '../setup.ts';

/** A function, the range of its arguments, and the largest error on the CPU. The functions of CUDA are allowed 4 units more. */
interface Row {
  readonly name: string;
  readonly run: (x: Tensor) => Tensor;
  readonly from: number;
  readonly to: number;
  readonly units: number;
}
const everywhere = 3.4e38;
const row = (name: string, run: Row['run'], units: number, from = -everywhere, to = everywhere): Row => ({
  name,
  run,
  from,
  to,
  units,
});
const rows: readonly Row[] = [
  row('exp', x => x.exp(), 1.1),
  row('exp2', x => x.exp2(), 1.3),
  row('expm1', x => x.expm1(), 1.8),
  row('log', x => x.log(), 0.9, 0),
  row('log2', x => x.log2(), 0.9, 0),
  row('log10', x => x.log10(), 0.9, 0),
  row('log1p', x => x.log1p(), 1.5, -1),
  row('sin', x => x.sin(), 1.6),
  row('cos', x => x.cos(), 1.6),
  row('tan', x => x.tan(), 3.5),
  row('asin', x => x.asin(), 1.6, -1, 1),
  row('acos', x => x.acos(), 1.3, -1, 1),
  row('atan', x => x.atan(), 1.6),
  row('sinh', x => x.sinh(), 2.7),
  row('cosh', x => x.cosh(), 1.6),
  row('tanh', x => x.tanh(), 2.8),
  row('erf', x => x.erf(), 1.4),
  row('erfc', x => x.erfc(), 8),
  row('sigmoid', x => x.sigmoid(), 2.8, -87),
  row('gelu', x => F.gelu(x), 11, -13),
  row('x ** 2.5', x => x.pow(2.5), 1.1, 0),
  row('x ** -1.25', x => x.pow(-1.25), 1.1, 0),
  row('x ** 7', x => x.pow(7), 1.1),
  row('1.25 ** x', x => F.pow(1.25, x), 1.1),
  row('atan2 above the axis', x => x.atan2(3), 1.8),
  row('atan2 beside the axis', x => x.neg().atan2(-0.5), 1.8),
];

/** Floats over all exponents of the range, close to 0, and close together around 1 and around 30. */
function argumentsOf({ from, to }: Row): Float32Array {
  const values: number[] = [];
  for (let exponent = -149; exponent < 128; exponent += 0.03) values.push(2 ** exponent, -(2 ** exponent));
  for (let i = 0; i < 4000; i++) values.push(i / 1000 - 2, i / 50 - 40, (i - 2000) * 0.41);
  return Float32Array.from(values).filter(x => x >= from && x <= to);
}

/** The distance of neighbouring floats at x. */
const unit = (x: number): number => 2 ** Math.max(-149, Math.floor(Math.log2(Math.abs(x) || 1e-300)) - 23);

describe.each([...devices])('errors on %s of', device => {
  test.each(rows.map(each => [each.name, each] as const))('%s', (_, each) =>
    tidy(() => {
      const values = argumentsOf(each);
      const result = each.run(tensor(values, { device })).dataSync() as Float32Array;
      const exact = each.run(tensor(values, { device }).to('float64')).dataSync() as Float64Array;
      const allowed = each.units + (device === 'cpu' ? 0 : 4);
      const wrong = Array.from(exact.keys()).filter(i => {
        const rounded = Math.fround(exact[i]!);
        if (!Number.isFinite(rounded) || rounded === 0) return !Object.is(result[i], rounded);
        return !(Math.abs(result[i]! - exact[i]!) <= allowed * unit(rounded));
      });
      expect(wrong.slice(0, 5).map(i => `${values[i]}: ${result[i]}, exactly ${exact[i]}`)).toEqual([]);
    }),
  );
});

describe.each([...devices])('special operands on %s', device => {
  const special = [
    0,
    -0,
    1,
    -1,
    2,
    -2,
    0.5,
    -0.5,
    3,
    -3,
    1.5,
    -2.5,
    Infinity,
    -Infinity,
    NaN,
    1e-45,
    -1e-45,
    3e38,
    -3e38,
  ];
  const odd = [8388607, 8388609, 16777215, 16777216, -8388609, 4194305.5];
  const all = [...special, ...odd];
  const grid = (operand: 0 | 1): number[] => all.flatMap(a => all.map(b => (operand === 0 ? a : b)));
  test.each([
    ['pow', (x: Tensor, y: Tensor) => x.pow(y)],
    ['atan2', (x: Tensor, y: Tensor) => x.atan2(y)],
  ] as const)('%s is what float64 gives', (_, run) =>
    tidy(() => {
      const [x, y] = [tensor(grid(0), { device }), tensor(grid(1), { device })];
      const result = run(x, y).dataSync() as Float32Array;
      const exact = Float32Array.from(run(x.to('float64'), y.to('float64')).dataSync() as Float64Array);
      const wrong = Array.from(exact.keys()).filter(i => {
        const same = Object.is(result[i], exact[i]);
        return !same && !(exact[i] !== 0 && Math.abs(result[i]! - exact[i]!) <= 3e-7 * Math.abs(exact[i]!));
      });
      const shown = wrong.map(i => `${grid(0)[i]}, ${grid(1)[i]}: ${result[i]}, not ${exact[i]}`);
      expect(shown).toEqual([]);
    }),
  );
});
