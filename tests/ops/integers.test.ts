import { describe, expect, test } from 'bun:test';
import { cat, tensor, tidy, type Tensor } from 'castor';
import { devices } from '../setup.ts';

/** Integers beyond 2^53, which doubles cannot represent exactly. */
const a = [9007199254740993n, -9007199254740995n, 4611686018427387905n, -1n, 7n];
const b = [3n, 9007199254740993n, -2n, 4611686018427387903n, 9007199254740993n];
const each = (f: (x: bigint, y: bigint) => bigint | boolean): (bigint | boolean)[] => a.map((x, i) => f(x, b[i]!));
const wrap = (x: bigint): bigint => BigInt.asIntN(64, x);
const floorDivide = (x: bigint, y: bigint): bigint => x / y - (x % y !== 0n && x < 0n !== y < 0n ? 1n : 0n);
const order = (x: bigint, y: bigint): number => (x < y ? -1 : x > y ? 1 : 0);
const sum = (list: bigint[]): bigint => wrap(list.reduce((total, x) => total + x));

type Row = [string, (x: Tensor, y: Tensor) => Tensor, bigint | boolean | (bigint | boolean)[]];
const rows: Row[] = [
  ['add', (x, y) => x.add(y), each((x, y) => wrap(x + y))],
  ['sub', (x, y) => x.sub(y), each((x, y) => wrap(x - y))],
  ['mul', (x, y) => x.mul(y), each((x, y) => wrap(x * y))],
  ['floorDivide', (x, y) => x.floorDivide(y), each(floorDivide)],
  ['remainder', (x, y) => x.remainder(y), each((x, y) => x - y * floorDivide(x, y))],
  ['fmod', (x, y) => x.fmod(y), each((x, y) => x % y)],
  ['maximum', (x, y) => x.maximum(y), each((x, y) => (x > y ? x : y))],
  ['bitwiseXor', (x, y) => x.bitwiseXor(y), each((x, y) => x ^ y)],
  ['eq', (x, y) => x.eq(y), each((x, y) => x === y)],
  ['lt', (x, y) => x.lt(y), each((x, y) => x < y)],
  ['add of a number', x => x.add(2), a.map(x => x + 2n)],
  ['neg', x => x.neg(), a.map(x => -x)],
  ['abs', x => x.abs(), a.map(x => (x < 0n ? -x : x))],
  ['square', x => x.square(), a.map(x => wrap(x * x))],
  ['clamp', x => x.clamp({ min: 0 }), a.map(x => (x < 0n ? 0n : x))],
  ['where', (x, y) => x.where(x.gt(0), y), each((x, y) => (x > 0n ? x : y))],
  ['sum', x => x.sum(), sum(a)],
  ['prod', x => x.prod(), wrap(a.reduce((total, x) => total * x))],
  ['amax', x => x.amax(), a.toSorted(order).at(-1)!],
  ['amin', x => x.amin(), a.toSorted(order)[0]!],
  ['argmax', x => x.argmax(), 2n],
  ['cumsum', x => x.cumsum(0), a.map((_, i) => sum(a.slice(0, i + 1)))],
  ['sort', x => x.sort().values, a.toSorted(order)],
  ['gather', x => x.gather(0, tensor([2, 0], { dtype: 'int64', device: x.device })), [a[2]!, a[0]!]],
  ['cat', (x, y) => cat([x, y]), [...a, ...b]],
  ['matmul', (x, y) => x.matmul(y), sum(each((x, y) => wrap(x * y)) as bigint[])],
  ['clone of every second', x => x.slice(0, null, null, 2).clone(), [a[0]!, a[2]!, a[4]!]],
];

describe.each([...devices])('int64 is exact beyond 2^53, on %s:', device => {
  test.each(rows)('%s', (_, run, expected) => {
    tidy(() => {
      const out = run(tensor(a, { device }), tensor(b, { device }));
      const found = [...(out.dataSync() as BigInt64Array | Uint8Array)].map(x => (out.dtype === 'bool' ? x !== 0 : x));
      expect(found as unknown[]).toEqual([expected].flat());
    });
  });
});
