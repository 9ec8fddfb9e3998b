import { describe, expect, test } from 'bun:test';
import { CastorError, F, tensor, tidy, type Device, type DType, type Tensor } from 'castor';
import { table } from '../../runtime/ops/table.ts';
import { devices } from '../setup.ts';
import { load } from '../golden/load.ts';
import { notInPyTorch, withoutGolden } from './notInPyTorch.ts';

/** 'uint8 3 255 0', or '!' for a call that PyTorch refuses. */
type Text = string;
interface Lists {
  kind: 'lists';
  names: DType[];
  numbers: string[];
  values: Record<string, string[]>;
}
interface Binary {
  kind: 'binary';
  a: Text;
  b: Text;
  results: Record<string, Text>;
}
interface Numbers {
  kind: 'numbers';
  op: string;
  a: DType;
  left: boolean;
  result: (Text | [Text, Text])[];
}
interface InPlace {
  kind: 'inPlace';
  op: string;
  a: DType;
  allowed: string;
}
interface Unary<K extends 'unary' | 'along'> {
  kind: K;
  op: string;
  a: Text;
  result: Text;
}
interface Clamp {
  kind: 'clamp';
  a: DType;
  min: number | string | null;
  max: number | string | null;
  result: Text;
}
interface Filled {
  kind: 'filled';
  a: DType;
  value: number | string;
  result: Text;
}
interface Chosen {
  kind: 'chosen';
  a: DType;
  b?: DType;
  number?: number;
  result: Text;
}
interface Ternary {
  kind: 'ternary';
  a: Text;
  b: Text;
  c: Text;
  addcmul: Text;
  addcdiv: Text;
}
type Row = Ternary | Binary | Numbers | InPlace | Unary<'unary'> | Unary<'along'> | Clamp | Filled | Chosen;
const [lists, ...rows] = load<Lists | Row>('integers') as [Lists, ...Row[]];
const of = <K extends Row['kind']>(kind: K): Extract<Row, { kind: K }>[] =>
  rows.filter((row): row is Extract<Row, { kind: K }> => row.kind === kind);

const words: Record<string, number> = { nan: NaN, inf: Infinity, '-inf': -Infinity, '-0': -0 };
const numberOf = (word: string | number): number => (typeof word === 'number' ? word : (words[word] ?? Number(word)));

function make(text: Text, device: Device): Tensor {
  const [dtype, ...values] = text.split(' ') as [DType, ...string[]];
  return dtype === 'int64'
    ? tensor(values.map(BigInt), { dtype, device })
    : tensor(values.map(numberOf), { dtype, device });
}

function textOf(run: () => Tensor): Text {
  try {
    const t = run();
    return [t.dtype, ...Array.from(t.dataSync() as ArrayLike<number | bigint>, String)].join(' ');
  } catch (error) {
    if (error instanceof CastorError) return '!';
    throw error;
  }
}

const rounding: Partial<Record<DType, number>> = { float32: 4e-6, float16: 2e-3, bfloat16: 1.6e-2, float64: 1e-8 };
function same(own: Text, golden: Text): boolean {
  const [dtype, ...a] = own.split(' ') as [DType, ...string[]];
  const [expected, ...b] = golden.split(' ') as [DType, ...string[]];
  const r = rounding[dtype];
  if (dtype !== expected || a.length !== b.length) return false;
  if (r === undefined) return a.every((word, i) => word === b[i]);
  return a.every((word, i) => {
    const [x, y] = [numberOf(word), numberOf(b[i]!)];
    return Object.is(x, y) || x === y || Math.abs(x - y) <= r * Math.abs(y);
  });
}

/** One call. The golden value is PyTorch's result. */
interface Call {
  kind: Row['kind'];
  op: string;
  /** The tensor operands. */
  a: Text;
  b?: Text;
  c?: Text;
  /** The number operand. */
  n?: number;
  golden: Text;
}
/** A difference from PyTorch: Castor's result as a text, or '!' if it refuses the call. */
interface Difference {
  why: string;
  where: (call: Call) => boolean;
  gives: (call: Call) => Text;
}
const valuesOf = (text: Text): string[] => text.split(' ').slice(1);
const dtypeOf = (text: Text): string => text.split(' ')[0]!;
const held: Record<string, [number, number]> = {
  uint8: [0, 255],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-(2 ** 63), 2 ** 63 - 1024],
};
/** Whether the number is an integer that the tensor's dtype cannot hold. PyTorch keeps its low bits. */
function overflows({ a, n }: Call): boolean {
  const [least, greatest] = held[dtypeOf(a)] ?? [-Infinity, Infinity];
  return n !== undefined && Number.isInteger(n) && (n < least || n > greatest);
}
const comparisons: Record<string, (x: number, y: number) => boolean> = {
  eq: (x, y) => x === y,
  ne: (x, y) => x !== y,
  lt: (x, y) => x < y,
  le: (x, y) => x <= y,
  gt: (x, y) => x > y,
  ge: (x, y) => x >= y,
};
const wrap = (dtype: string, x: bigint): bigint =>
  dtype === 'uint8' ? BigInt.asUintN(8, x) : BigInt.asIntN(dtype === 'int32' ? 32 : 64, x);
function power(dtype: string, base: bigint, exponent: bigint): bigint {
  let [result, square] = [1n, base];
  for (let rest = exponent; rest > 0n; rest >>= 1n, square = wrap(dtype, square * square))
    if (rest & 1n) result = wrap(dtype, result * square);
  return result;
}

const differences: readonly Difference[] = [
  {
    why: 'integers compare with the number itself: no uint8 equals -1 or 256',
    where: call => call.kind === 'numbers' && call.op in comparisons && overflows(call),
    gives: ({ op, a, n }) =>
      `bool ${valuesOf(a)
        .map(x => Number(comparisons[op]!(Number(x), n!)))
        .join(' ')}`,
  },
  {
    why: 'a divisor, a dividend or a remainder that the dtype cannot hold is no other number',
    where: call => ['floorDivide', 'remainder', 'fmod'].includes(call.op) && overflows(call),
    gives: () => '!',
  },
  {
    why: 'an exponent is the number itself, not what is left of it in the dtype',
    where: call => call.op === 'pow' && call.golden === '!' && overflows(call) && call.n! > 0,
    gives: ({ a, n }) => {
      const dtype = dtypeOf(a);
      return `${dtype} ${valuesOf(a)
        .map(x => power(dtype, BigInt(x), BigInt(n!)))
        .join(' ')}`;
    },
  },
  {
    why: 'hypot of integers is floating, as atan2 is',
    where: ({ op, a, b }) => op === 'hypot' && b !== undefined && [a, b].every(text => /^(int|uint|bool)/.test(text)),
    gives: ({ a, b }) =>
      dtypeOf(a) === 'bool' && dtypeOf(b!) === 'bool'
        ? '!'
        : `float32 ${valuesOf(a)
            .map((x, i) => Math.fround(Math.hypot(Number(x), Number(valuesOf(b!)[i]))))
            .join(' ')}`,
  },
  {
    why: 'addcdiv divides integers as div does',
    where: ({ op, golden }) => op === 'addcdiv' && golden === '!',
    gives: ({ a, b, c }) => {
      const [x, y, z] = [a, b!, c!].map(operand => valuesOf(operand).map(Number)) as [number[], number[], number[]];
      const dtype = dtypeOf(a).includes('float') ? dtypeOf(a) : 'float32';
      return `${dtype} ${x.map((value, i) => value + 0.5 * (y[i]! / z[i]!)).join(' ')}`;
    },
  },
  {
    why: 'any and all are truth values for uint8 too',
    where: ({ op, a }) => (op === 'any' || op === 'all') && dtypeOf(a) === 'uint8',
    gives: ({ golden }) => golden.replace('uint8', 'bool'),
  },
  {
    why: 'bool has an order, which sort uses in PyTorch too',
    where: ({ op, a }) => ['argmax', 'argmin', 'topk'].includes(op) && dtypeOf(a) === 'bool',
    gives: ({ op }) => ({ argmax: 'int64 0', argmin: 'int64 1', topk: 'bool 1' })[op]!,
  },
  {
    why: 'an integer tensor is not filled with a number that it cannot hold, nor with the whole part of one',
    where: ({ kind, a, n }) => kind === 'filled' && dtypeOf(a) in held && (n! < 0 || !Number.isInteger(n)),
    gives: ({ a, n, golden }) => (n === -1 && dtypeOf(a) !== 'uint8' ? golden : '!'),
  },
];

const f = F as unknown as Record<string, (...args: unknown[]) => Tensor>;
const met = new Set<Difference>();
/** Describes how a call differs from PyTorch; null if it does not. */
function fault(call: Call, run: () => Tensor): string | null {
  const own = textOf(run);
  const different = differences.find(difference => difference.where(call));
  if (different !== undefined) met.add(different);
  const wanted = different === undefined ? call.golden : different.gives(call);
  return same(own, wanted) ? null : `${JSON.stringify(call)}: ${own}${different ? `, expected ${wanted}` : ''}`;
}
const faults = (all: (string | null)[]): void => expect(all.filter(Boolean)).toEqual([]);

const order = ['bool', 'int', 'float'];
const categoryOf = (dtype: string): string => order.find(category => dtype.includes(category))!;

const alongAxis: Record<string, (x: Tensor) => Tensor> = {
  topk: x => x.topk(1).values,
  sort: x => x.sort().values,
  cumsum: x => x.cumsum(0),
  cumprod: x => x.cumprod(0),
  softmax: x => x.softmax(0),
  logSoftmax: x => x.logSoftmax(0),
};
/** The second part of a title. */
const names = [...new Set(of('binary').flatMap(row => Object.keys(row.results)))].sort();

/** The float32 operands; tests/golden/integers.py has the same. */
const FLOATS = 'float32 nan -inf -2.5 -1 0 0.5 3 10000';

/** Functions that PyTorch has for floats only. */
const floating = ['gelu', 'softplus', 'leakyRelu', 'elu', 'logSigmoid', 'silu', 'mish', 'geluTanh', 'lerp'];
const floatingOf: Record<string, (x: Tensor) => Tensor> = {
  geluTanh: x => x.gelu({ approximate: 'tanh' }),
  lerp: x => x.lerp(x.logicalNot(), 0.25),
};
/** Tested with the losses. */
const losses = ['binaryCrossEntropy', 'binaryCrossEntropyWithLogits'];
test('every elementwise row of the table is compared here', () => {
  const kinds = ['unary', 'binary', 'compare', 'ternary'];
  const compared = [
    ...names,
    ...of('unary').map(row => row.op),
    ...floating,
    ...losses,
    'clamp',
    'where',
    'addcmul',
    'addcdiv',
    ...Object.keys(notInPyTorch),
  ];
  const left = Object.entries(table).filter(([name, row]) => kinds.includes(row.kind) && !compared.includes(name));
  const missing = left.map(([name]) => name);
  expect(missing, withoutGolden(missing, 'integers', 'UNARY or BINARY')).toEqual([]);
});

describe.each([...devices])('integers and bool are as in PyTorch, on %s:', device => {
  const it = (name: string, run: () => (string | null)[]): void => test(name, () => tidy(() => faults(run())));

  for (const op of names)
    it(`${op} of every two dtypes`, () =>
      of('binary')
        .filter(row => op in row.results)
        .map(({ a, b, results }) =>
          fault({ kind: 'binary', op, a, b, golden: results[op]! }, () => f[op]!(make(a, device), make(b, device))),
        ));

  for (const op of new Set(of('numbers').map(row => row.op)))
    it(`${op} with a number`, () =>
      of('numbers')
        .filter(row => row.op === op)
        .flatMap(({ a: dtype, left, result }) =>
          result.map((entry, i) => {
            const all = [dtype, ...lists.values[dtype]!].join(' ');
            const [a, golden] = Array.isArray(entry) ? entry : [all, entry];
            const n = numberOf(lists.numbers[i]!);
            const run = (x: Tensor): Tensor => (left ? f[op]!(n, x) : f[op]!(x, n));
            return fault({ kind: 'numbers', op, a, n, golden }, () => run(make(a, device)));
          }),
        ));

  it('addcmul and addcdiv of every three dtypes', () =>
    of('ternary').flatMap(({ a, b, c, addcmul, addcdiv }) => {
      const [x, y, z] = [a, b, c].map(operand => make(operand, device)) as [Tensor, Tensor, Tensor];
      return [
        fault({ kind: 'ternary', op: 'addcmul', a, b, c, golden: addcmul }, () => x.addcmul(y, z, 3)),
        fault({ kind: 'ternary', op: 'addcdiv', a, b, c, golden: addcdiv }, () => x.addcdiv(y, z, 0.5)),
      ];
    }));

  it('in place with a number, as out of place where the dtype may be written', () =>
    of('numbers')
      .filter(row => !row.left && !(row.op in comparisons))
      .flatMap(({ op, a: dtype, result }) =>
        result.map((entry, i) => {
          const [a] = Array.isArray(entry) ? entry : [[dtype, ...lists.values[dtype]!].join(' ')];
          const n = numberOf(lists.numbers[i]!);
          const out = textOf(() => f[op]!(make(a, device), n));
          const higher = order.indexOf(categoryOf(dtypeOf(out))) > order.indexOf(categoryOf(dtype));
          const wanted = out === '!' || higher ? '!' : textOf(() => make(out, device).to(dtype));
          const own = textOf(() => (make(a, device) as unknown as typeof f)[`${op}_`]!(n));
          return own === wanted ? null : `${op}_ of ${a} and ${n}: ${own}, not ${wanted}`;
        }),
      ));

  it('in place, a result goes into its category or a higher one', () =>
    of('inPlace').map(({ op, a, allowed }) => {
      const write = (b: DType): Text =>
        textOf(() => (make(`${a} 1`, device) as unknown as typeof f)[`${op}_`]!(make(`${b} 1`, device)));
      const own = lists.names.map(b => (write(b) === '!' ? '0' : '1')).join('');
      return own === allowed ? null : `${op}_ of ${a}: ${own}, not ${allowed}, in the order ${lists.names}`;
    }));

  it('functions of one operand', () =>
    of('unary').map(({ op, a, result: golden }) =>
      fault({ kind: 'unary', op, a, golden }, () => f[op]!(make(a, device))),
    ));

  it('functions along axes', () =>
    of('along').map(({ op, a, result: golden }) =>
      fault({ kind: 'along', op, a, golden }, () => (alongAxis[op] ?? f[op]!)(make(a, device))),
    ));

  it('clamp with bounds inside and outside of the dtype, fractions, NaN and infinities', () =>
    of('clamp').map(({ a: dtype, min, max, result: golden }) => {
      const a = dtype === 'float32' ? FLOATS : [dtype, ...lists.values[dtype]!].join(' ');
      const [low, high] = [min, max].map(bound => (bound === null ? undefined : numberOf(bound)));
      return fault({ kind: 'clamp', op: `clamp ${min} ${max}`, a, golden }, () =>
        f.clamp!(make(a, device), { min: low, max: high }),
      );
    }));

  it('maskedFill keeps the dtype', () =>
    of('filled').map(({ a: dtype, value, result: golden }) => {
      const [a, n] = [`${dtype} 1 0`, numberOf(value)];
      return fault({ kind: 'filled', op: 'maskedFill', a, n, golden }, () =>
        make(a, device).maskedFill(make('bool 1 0', device), n),
      );
    }));

  it('where promotes', () =>
    of('chosen').map(({ a: dtype, b: other, number: n, result: golden }) => {
      const [a, b] = [`${dtype} 1 1`, other && `${other} 0 0`];
      return fault(
        { kind: 'chosen', op: 'where', a, ...(b ? { b } : {}), ...(n === undefined ? {} : { n }), golden },
        () => make(a, device).where(make('bool 1 0', device), b === undefined ? n! : make(b, device)),
      );
    }));

  for (const op of floating)
    it(`${op} of integers, which PyTorch refuses, is that of the same numbers in float32`, () =>
      ['uint8', 'int32', 'int64', 'bool'].map(dtype => {
        const run = floatingOf[op] ?? f[op]!;
        const a = [dtype, ...lists.values[dtype]!].join(' ');
        const wanted = textOf(() => run(make(a, device).to('float32')));
        return fault({ kind: 'unary', op, a, golden: wanted }, () => run(make(a, device)));
      }));

  test.each(differences.map(difference => [difference.why, difference] as const))(
    'a difference that is there: %s',
    (_, each) => expect(met.has(each)).toBe(true),
  );
});
