/**
 * The messages of the C ABI for calls that are correct except for one argument. tests/golden/refusals.txt lists each
 * call: whether it is accepted, and the message if not. `CASTOR_WRITE_REFUSALS=1 bun test ./tests/refusals.test.ts`
 * writes the file again; read the difference before you commit it.
 */
import { expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { native, opNumber, opNumbers } from '../runtime/ffi/library.ts';
import { describe as writeView, describeList, describeScalar } from '../runtime/ffi/view.ts';
import { declared } from './header.ts';
import { onEmulator } from './setup.ts';

const dtypes = ['float32', 'float16', 'bfloat16', 'float64', 'int32', 'int64', 'uint8', 'bool'] as const;
type Name = (typeof dtypes)[number];

/** A tensor argument. */
interface T {
  readonly shape: readonly number[];
  readonly dtype: Name;
}
const t = (shape: readonly number[], dtype: Name = 'float32'): T => ({ shape, dtype });
/** A number, and others that are tried in its place. */
interface N {
  readonly value: number;
  readonly others: readonly number[];
  /** The kind of the op whose number it is. */
  readonly kind?: string;
}
const n = (value: number, ...others: number[]): N => ({ value, others });
/** Several numbers at one address, and others that are tried in the place of each. */
interface Numbers {
  readonly numbers: readonly number[];
  readonly others: readonly number[];
  readonly type: 'int32' | 'double';
}
/** Lists of tensors, and the length of each list. */
interface Lists {
  readonly lists: readonly T[][];
}
type Argument = T | N | Numbers | Lists | null;

const op = (kind: string, name: string): N => ({ ...n(opNumber(kind, name), -1, 1000), kind });
const geometry = (...numbers: number[]): Numbers => ({ numbers, others: [-1, 0, 1, 2, 3, 4], type: 'int32' });
const hyper = (...numbers: number[]): Numbers => ({ numbers, others: [], type: 'double' });
const eps = n(1e-5);
const probability = n(0.5, -0.001, 0, 1, 1.001, NaN);
const whole = n(7, -1, 0, 0.5, 2 ** 53 - 1, 2 ** 53, NaN, Infinity);
const flag = n(1, 0);
const row = t([3]);

/** Correct calls by function, with a name where there are several. */
const calls: readonly (readonly [string, ...Argument[]])[] = [
  ['castor_fill', t([2, 3]), n(1)],
  ['castor_arange', t([5]), n(0), n(1)],
  [
    'castor_random uniform',
    op('random', 'uniform'),
    t([5]),
    whole,
    whole,
    n(0, -1e39, -Infinity, 2, NaN),
    n(1, 1e39, -2, 0, NaN),
  ],
  [
    'castor_random uniform of float16',
    op('random', 'uniform'),
    t([5], 'float16'),
    n(1),
    n(1),
    n(0, -65504, -65505),
    n(1, 65504, 65505),
  ],
  [
    'castor_random uniform of bfloat16',
    op('random', 'uniform'),
    t([5], 'bfloat16'),
    n(1),
    n(1),
    n(0, -3.3e38, -3.4e38),
    n(1, 3.3e38, 3.4e38),
  ],
  [
    'castor_random uniform of float64',
    op('random', 'uniform'),
    t([5], 'float64'),
    n(1),
    n(1),
    n(0, -1.7e308, -Infinity),
    n(1, 1.7e308, Infinity),
  ],
  [
    'castor_random wide uniform of float64',
    op('random', 'uniform'),
    t([5], 'float64'),
    n(1),
    n(1),
    n(-1e308),
    n(0.5e308, 1e308),
  ],
  ['castor_random wide uniform', op('random', 'uniform'), t([5]), n(1), n(1), n(-2e38), n(1e38, 2e38)],
  [
    'castor_random normal',
    op('random', 'normal'),
    t([5]),
    n(1),
    n(1),
    n(0, Infinity, NaN, -5),
    n(1, 0, -1, Infinity, NaN),
  ],
  ['castor_random exponential', op('random', 'exponential'), t([5]), n(1), n(1), n(1, 0, -1, Infinity, NaN), n(0)],
  ['castor_random bernoulli', op('random', 'bernoulli'), t([5]), n(1), n(1), probability, n(0)],
  [
    'castor_random randint',
    op('random', 'randint'),
    t([5], 'int64'),
    n(1),
    n(1),
    n(0, 0.5, -(2 ** 53), -(2 ** 54), 9, 10),
    n(10, 0.5, 2 ** 53, 2 ** 54, 0, 1),
  ],
  [
    'castor_random randint of int32',
    op('random', 'randint'),
    t([5], 'int32'),
    n(1),
    n(1),
    n(0, -(2 ** 31), -(2 ** 31) - 1),
    n(10, 2 ** 31, 2 ** 31 + 1),
  ],
  ['castor_random randint of uint8', op('random', 'randint'), t([5], 'uint8'), n(1), n(1), n(0, -1), n(10, 256, 257)],
  ['castor_random randint of bool', op('random', 'randint'), t([5], 'bool'), n(1), n(1), n(0, -1), n(2, 1, 3)],
  ['castor_expect', op('expect', 'weights'), t([4], 'bool')],
  ['castor_copy', t([2, 3]), t([2, 3])],
  ['castor_unary', op('unary', 'neg'), t([2, 3]), t([2, 3]), n(0), n(0)],
  ['castor_unary of real numbers', op('unary', 'exp'), t([2, 3]), t([2, 3]), n(0), n(0)],
  ['castor_binary', op('binary', 'add'), t([2, 3]), t([3]), t([2, 3]), n(1), n(0)],
  ['castor_compare', op('compare', 'lt'), t([2, 3]), t([3]), t([2, 3], 'bool')],
  ['castor_ternary', op('ternary', 'where'), t([2, 3], 'bool'), t([2, 3]), t([3]), t([2, 3]), n(0)],
  ['castor_dropout', t([2, 3]), t([2, 3]), probability, whole, whole],
  ['castor_triangle', n(1, 0), t([2, 3]), t([2, 3]), n(0)],
  ['castor_reduce sum', op('reduce', 'sum'), t([2, 3]), t([2, 1]), n(2, 0, 1, 3, 4, -1), n(0)],
  ['castor_reduce max', op('reduce', 'max'), t([2, 3]), t([2, 1]), n(2, 0), n(0)],
  ['castor_reduce max of no rows', op('reduce', 'max'), t([0, 3]), t([0, 1]), n(2), n(0)],
  ['castor_reduce min of nothing', op('reduce', 'min'), t([2, 1]), t([2, 1]), n(2), n(0)],
  ['castor_reduce argmax', op('reduce', 'argmax'), t([2, 3, 1]), t([2, 1, 1], 'int64'), n(2, 0, 3, 6, 7), n(0)],
  ['castor_reduce argmin of all', op('reduce', 'argmin'), t([2, 1]), t([1, 1], 'int64'), n(3, 1, 0), n(0)],
  ['castor_scan', op('scan', 'cumsum'), t([2, 3]), t([2, 3]), n(1, -1, 0, 2)],
  ['castor_scan of a scalar', op('scan', 'cumsum'), t([]), t([]), n(0, 1)],
  ['castor_softmax', op('softmax', 'softmax'), t([2, 3]), t([2, 3]), n(1, -1, 0, 2)],
  ['castor_softmax of a scalar', op('softmax', 'logSoftmax'), t([]), t([]), n(0, 1)],
  ['castor_softmax_backward', op('softmax', 'softmax'), t([2, 3]), t([2, 3]), t([2, 3]), n(1, -1, 0, 2)],
  ['castor_norm layerNorm', op('norm', 'layerNorm'), t([2, 3]), row, row, t([2, 3]), t([2]), t([2]), eps],
  ['castor_norm rmsNorm', op('norm', 'rmsNorm'), t([2, 3]), row, null, t([2, 3]), null, t([2]), eps],
  [
    'castor_norm_backward layerNorm',
    op('norm', 'layerNorm'),
    t([2, 3]),
    t([2, 3]),
    row,
    t([2]),
    t([2]),
    t([2, 3]),
    row,
    row,
  ],
  [
    'castor_norm_backward rmsNorm',
    op('norm', 'rmsNorm'),
    t([2, 3]),
    t([2, 3]),
    row,
    null,
    t([2]),
    t([2, 3]),
    row,
    null,
  ],
  [
    'castor_batch_group_norm groupNorm',
    op('batchGroupNorm', 'groupNorm'),
    t([2, 4, 3]),
    t([4]),
    t([4]),
    t([2, 4, 3]),
    t([4]),
    t([4]),
    null,
    null,
    n(2, 0, -1, 3, 4, 1),
    n(0.1),
    eps,
  ],
  [
    'castor_batch_group_norm batchNorm',
    op('batchGroupNorm', 'batchNorm'),
    t([2, 4, 3]),
    t([4]),
    t([4]),
    t([2, 4, 3]),
    t([4]),
    t([4]),
    t([4]),
    t([4]),
    n(4, 0, 2, 3, 5),
    n(0.1),
    eps,
  ],
  [
    'castor_batch_group_norm batchNormEval',
    op('batchGroupNorm', 'batchNormEval'),
    t([2, 4, 3]),
    t([4]),
    t([4]),
    t([2, 4, 3]),
    t([4]),
    t([4]),
    t([4]),
    t([4]),
    n(4, 2),
    n(0.1),
    eps,
  ],
  [
    'castor_batch_group_norm_backward groupNorm',
    op('batchGroupNorm', 'groupNorm'),
    t([2, 4, 3]),
    t([2, 4, 3]),
    t([4]),
    t([4]),
    t([4]),
    t([2, 4, 3]),
    t([4]),
    t([4]),
    n(2, 0, 3, 1),
  ],
  [
    'castor_batch_group_norm_backward batchNorm',
    op('batchGroupNorm', 'batchNorm'),
    t([2, 4, 3]),
    t([2, 4, 3]),
    t([4]),
    t([4]),
    t([4]),
    t([2, 4, 3]),
    t([4]),
    t([4]),
    n(4, 2),
  ],
  [
    'castor_cross_entropy',
    t([2, 3]),
    t([2], 'int64'),
    t([2]),
    t([2], 'float64'),
    n(-100, 0, 0.5, NaN, 2 ** 53, -(2 ** 53), 2 ** 53 - 1),
    probability,
  ],
  [
    'castor_cross_entropy_backward',
    t([2]),
    t([2, 3]),
    t([2], 'int64'),
    t([2], 'float64'),
    t([2, 3]),
    n(-100, 0.5, NaN, 2 ** 53),
    probability,
  ],
  ['castor_sort', t([2, 3]), t([2, 3]), t([2, 3], 'int64'), n(1, -1, 0, 2), flag],
  ['castor_gather gather', op('gather', 'gather'), t([3, 4]), t([2, 4], 'int64'), t([2, 4]), n(0, -1, 1, 2)],
  ['castor_gather indexSelect', op('gather', 'indexSelect'), t([3, 4]), t([2], 'int64'), t([2, 4]), n(0, -1, 1, 2)],
  ['castor_gather of a scalar', op('gather', 'gather'), t([]), t([], 'int64'), t([]), n(0, 1)],
  ['castor_scatter scatter', op('scatter', 'scatter'), t([3, 4]), t([2, 4], 'int64'), t([2, 4]), n(0, -1, 1, 2)],
  ['castor_scatter indexAdd', op('scatter', 'indexAdd'), t([3, 4]), t([2], 'int64'), t([2, 4]), n(0, -1, 1, 2)],
  ['castor_scatter indexCopy', op('scatter', 'indexCopy'), t([3, 4]), t([2], 'int64'), t([2, 4]), n(0, -1, 1, 2)],
  ['castor_matmul', t([2, 3, 4]), t([2, 4, 5]), t([5]), t([2, 3, 5]), op('activation', 'relu')],
  [
    'castor_convolution forward',
    op('convolution', 'forward'),
    t([2, 4, 5, 7]),
    t([6, 2, 3, 2]),
    t([6]),
    t([2, 6, 5, 4]),
    geometry(1, 2, 1, 1, 1, 2, 2),
  ],
  [
    'castor_convolution inputGrad',
    op('convolution', 'inputGrad'),
    t([2, 6, 5, 4]),
    t([6, 2, 3, 2]),
    null,
    t([2, 4, 5, 7]),
    geometry(1, 2, 1, 1, 1, 2, 2),
  ],
  [
    'castor_convolution weightGrad',
    op('convolution', 'weightGrad'),
    t([2, 4, 5, 7]),
    t([2, 6, 5, 4]),
    null,
    t([6, 2, 3, 2]),
    geometry(1, 2, 1, 1, 1, 2, 2),
  ],
  [
    'castor_pool max',
    op('pool', 'max'),
    t([2, 3, 5, 7]),
    t([2, 3, 5, 3]),
    t([2, 3, 5, 3], 'int64'),
    geometry(3, 3, 1, 2, 1, 1, 1, 2, 0),
  ],
  ['castor_pool avg', op('pool', 'avg'), t([2, 3, 5, 7]), t([2, 3, 5, 4]), null, geometry(3, 2, 1, 2, 1, 1, 1, 1, 1)],
  [
    'castor_pool_backward max',
    op('pool', 'max'),
    t([2, 3, 5, 3]),
    t([2, 3, 5, 3], 'int64'),
    t([2, 3, 5, 7]),
    geometry(3, 3, 1, 2, 1, 1, 1, 2, 0),
  ],
  [
    'castor_pool_backward avg',
    op('pool', 'avg'),
    t([2, 3, 5, 4]),
    null,
    t([2, 3, 5, 7]),
    geometry(3, 2, 1, 2, 1, 1, 1, 1, 1),
  ],
  [
    'castor_attention',
    t([2, 3, 4, 5]),
    t([2, 3, 6, 5]),
    t([2, 3, 6, 7]),
    t([4, 6]),
    t([2, 3, 4, 7]),
    t([2, 3, 4]),
    n(1),
    flag,
    probability,
    whole,
    whole,
  ],
  [
    'castor_attention_backward',
    t([2, 3, 4, 7]),
    t([2, 3, 4, 5]),
    t([2, 3, 6, 5]),
    t([2, 3, 6, 7]),
    t([4, 6]),
    t([2, 3, 4, 7]),
    t([2, 3, 4]),
    t([2, 3, 4, 5]),
    t([2, 3, 6, 5]),
    t([2, 3, 6, 7]),
    n(1),
    flag,
    probability,
    whole,
    whole,
  ],
  ['castor_multi_unscale', { lists: [[t([3]), t([2, 2])]] }, n(2, -1, 0, 1), t([]), t([])],
  ['castor_multi_norm', { lists: [[t([3]), t([2, 2])]] }, n(2, -1, 0, 1), t([]), n(2, 0, -1, NaN, Infinity)],
  ['castor_multi_scale', { lists: [[t([3]), t([2, 2])]] }, n(2, -1, 0, 1), t([])],
  [
    'castor_multi_sgd',
    { lists: [[t([3])], [t([3])], [t([1])]] },
    n(1, -1, 0),
    hyper(0.1, 0, 0, 0, 0, 0),
    t([], 'float64'),
    t([]),
  ],
  [
    'castor_multi_sgd with momentum',
    { lists: [[t([3])], [t([3])], [t([3])], [t([1])]] },
    n(1),
    hyper(0.1, 0.9, 0, 0, 0, 0),
    t([], 'float64'),
    t([]),
  ],
  [
    'castor_multi_adam',
    { lists: [[t([3])], [t([3])], [t([3])], [t([3])], [t([1])], [t([3])]] },
    n(1, -1, 0),
    hyper(0.1, 0.9, 0.9, 1e-8, 0, 0, 1, 0),
    t([], 'float64'),
    t([]),
  ],
  ['castor_update_scale', t([]), t([], 'int32'), t([]), hyper(2, 0.5, 10, 0, Infinity)],
];

const BYTES = 8192;
const handles: number[] = [];
/** Memory filled with zeros that is larger than any of the tensors. */
function storage(i: number): number {
  handles[i] ??= native.castor_alloc(0, BYTES);
  native.castor_write(handles[i], 0, new Uint8Array(new ArrayBuffer(BYTES)), BYTES);
  return handles[i];
}
function freeAll(): void {
  const made = handles.filter(Boolean);
  native.castor_free_many(Float64Array.from(made), made.length);
  handles.length = 0;
}
const rowMajor = (shape: readonly number[]): number[] =>
  shape.map((_, i) => shape.slice(i + 1).reduce((product, size) => product * size, 1));
const viewOf = ({ shape, dtype }: T, i: number) => ({
  storage: { handle: storage(i) },
  offset: 0,
  info: { code: dtypes.indexOf(dtype) },
  shape,
  strides: rowMajor(shape),
});

type Given = Argument | 'constant' | 'a false address';
const isTensor = (a: Given): a is T => a !== null && typeof a === 'object' && 'shape' in a;
function passed(a: Given, i: number): unknown {
  if (a === null) return 0;
  if (a === 'constant') return describeScalar(i, 1, 0);
  if (a === 'a false address') return 4100;
  if ('value' in a) return a.value;
  if ('shape' in a) return writeView(i, viewOf(a, i));
  if ('lists' in a) return describeList(a.lists.flat().map((one, j) => viewOf(one, 20 + j)));
  const array = a.type === 'int32' ? new Int32Array(new ArrayBuffer(64)) : new Float64Array(new ArrayBuffer(128));
  array.set(a.numbers);
  return array;
}

/** The outcome of a call: ok, or its status and message. */
function say(label: string, args: readonly Given[]): string {
  const name = label.split(' ')[0]!;
  const call = (native as unknown as Record<string, (...args: unknown[]) => number>)[name]!;
  const status = call(...args.map(passed));
  // The number of ops is not compared, because a new op would change many lines.
  const text = native.castor_last_error().replace(/ops end at \d+/, 'ops end at the last');
  return status === 0 ? 'ok' : `${status} ${text}`;
}

/** The dtypes that are tried in the place of one. */
const tried = ['float32', 'float16', 'float64', 'int32', 'int64', 'bool'] as const;
/** Tensors that differ from one in one property. */
function* near({ shape, dtype }: T): Generator<[string, T]> {
  for (const [axis, size] of shape.entries())
    for (const other of [size - 1, size + 1])
      if (other >= 0) yield [`[${shape.with(axis, other)}]`, t(shape.with(axis, other), dtype)];
  yield [`[${[...shape, 1]}]`, t([...shape, 1], dtype)];
  if (shape.length > 0) yield [`[${shape.slice(1)}]`, t(shape.slice(1), dtype)];
  for (const other of tried) if (other !== dtype) yield [other, t(shape, other)];
}
function* variations(a: Argument): Generator<[string, Given]> {
  if (a === null) yield ['there', t([3])];
  else if ('value' in a) for (const other of a.others) yield [String(other), n(other)];
  else if (isTensor(a)) {
    yield* near(a);
    yield* [
      ['absent', null],
      ['constant', 'constant'],
      ['a false address', 'a false address'],
    ] as const;
  } else if ('lists' in a) {
    for (const [k, list] of a.lists.entries())
      for (const [j, one] of list.entries())
        for (const [what, other] of near(one))
          yield [`list ${k}, ${j} ${what}`, { lists: a.lists.with(k, list.with(j, other)) }];
    yield ['a false address', 'a false address'];
  } else
    for (const [k, value] of a.numbers.entries())
      for (const other of a.others)
        if (other !== value) yield [`number ${k} ${other}`, { ...a, numbers: a.numbers.with(k, other) }];
}

function* everything(): Generator<string> {
  for (const [label, ...args] of calls) {
    const names = declared.find(({ name }) => name === label.split(' ')[0])!.args.map(({ name }) => name);
    yield `${label}: ${say(label, args)}`;
    for (const [i, argument] of args.entries()) {
      const accepted: string[] = [];
      for (const [what, given] of variations(argument)) {
        const said = say(label, args.with(i, given as Argument));
        if (said === 'ok') accepted.push(what);
        else yield `${label}, ${names[i]} ${what}: ${said}`;
      }
      if (accepted.length > 0) yield `${label}, ${names[i]} may be ${accepted.join(', ')}`;
    }
  }
}

// With the emulator the checks are the same as in every build, and its device finds some errors later.
test.if(!onEmulator)('each call that is wrong in one argument is refused, and says so', () => {
  const path = join(import.meta.dirname, 'golden/refusals.txt');
  const again = 'CASTOR_WRITE_REFUSALS=1 bun test ./tests/refusals.test.ts';
  const lines = [...everything()];
  freeAll();
  if (process.env.CASTOR_WRITE_REFUSALS) writeFileSync(path, `${lines.join('\n')}\n`);
  const wanted = readFileSync(path, 'utf8').trimEnd().split('\n');
  const wrong = wanted.flatMap((line, i) => (lines[i] === line ? [] : [`${line}\n  not ${lines[i]}`]));
  expect(wrong.slice(0, 10), `if this is as it should be, write tests/golden/refusals.txt anew: ${again}`).toEqual([]);
  expect(lines.length).toBe(wanted.length);
});

test.if(!onEmulator)('the number after that of the last op of a kind is refused', () => {
  const wrong = calls.flatMap(([label, ...args]) =>
    args.flatMap((argument, i) => {
      if (argument === null || !('value' in argument) || argument.kind === undefined) return [];
      const count = opNumbers.get(argument.kind)!.size;
      const said = say(label, args.with(i, n(count)));
      return said.includes(`there is no op ${count}, ops end at the last`) ? [] : [`${label}: ${said}`];
    }),
  );
  freeAll();
  expect(wrong).toEqual([]);
});
