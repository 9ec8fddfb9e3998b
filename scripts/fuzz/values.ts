import * as castor from 'castor';
import * as serve from 'castor/serve';
import { KVCache, PagePool } from '../../runtime/serve/kvCache.ts';
import type { Spec, Specs } from '../../runtime/arguments.ts';
import type { Dice } from './dice.ts';

const hasCuda = castor.isAvailable('cuda');

/** Everything that is public: what the package exports, with castor/serve under its name. */
export const everything = { ...castor, serve };
export type Everything = typeof everything;

/** The error that callbacks of the fuzzer throw. Castor must pass it on unchanged, and then it is not a finding. */
export class Thrown extends Error {}

/** The helpers that generated calls may use besides `castor`. */
export const help = {
  gone: (t: castor.Tensor) => (t.dispose(), t),
  thrower: () => ({
    get keepdim(): never {
      throw new Thrown();
    },
    get dtype(): never {
      throw new Thrown();
    },
  }),
  throws: () => {
    throw new Thrown();
  },
  proxy: (value: object) => new Proxy(value, {}),
  trap: () =>
    new Proxy(
      {},
      {
        get() {
          throw new Thrown();
        },
      },
    ),
  circular: () => {
    const list: unknown[] = [];
    list.push(list);
    return list;
  },
  detached: () => {
    const array = new Float32Array(4);
    structuredClone(array.buffer, { transfer: [array.buffer] });
    return array;
  },
  liar: () => Object.defineProperty(new Float32Array(4), 'length', { value: 1024 }),
  leaf: (shape: number[]) => castor.ones(shape, { requiresGrad: true }),
  long: function* () {
    for (let i = 0; i < 2e6; i++) yield i;
  },
  view: (t: castor.Tensor) => t.expand(3, ...t.shape),
  /** A causal model of four tokens, and a cache in which it has one. */
  causal: (tokens: castor.Tensor) => castor.F.oneHot(tokens, 4).to('float32'),
  cache: () => new KVCache(new PagePool(4, 2), [{ pages: [0], cached: 0, added: 1 }]),
};

const compiled = new Map<string, (c: Everything, h: typeof help) => unknown>();
/** The value of a source text: an expression over castor (C) and the helpers above (h). */
export function valueOf(source: string): unknown {
  let fn = compiled.get(source);
  if (fn === undefined) {
    if (compiled.size > 20_000) compiled.clear();
    fn = new Function('C', 'h', `return (${source});`) as (c: Everything, h: typeof help) => unknown;
    compiled.set(source, fn);
  }
  return fn(everything, help);
}

const numbers = [
  ...['0', '1', '2', '3', '-1', '-2', '4', '5', '8', '0.5', '-0.5', '1e-3', '1e-8', '0.9'],
  ...[
    'NaN',
    'Infinity',
    '-Infinity',
    '-0',
    '2**31',
    '2**31-1',
    '-(2**31)',
    '2**32',
    '2**53',
    '-(2**53)',
    '1e308',
    '5e-324',
  ],
];
const words = [
  ...['float32', 'float16', 'bfloat16', 'float64', 'int32', 'int64', 'uint8', 'bool', 'cpu', 'cuda', 'cuda:1', 'cpu:0'],
  ...['mean', 'sum', 'none', 'tanh', 'low', 'fp32', 'high', 'highest', 'a', '', '__proto__', 'constructor', 'toString'],
  ...[
    '1:3',
    '::2',
    '...',
    ':',
    '::0',
    '0:-1',
    '::-1',
    '0,1',
    'null',
    '1;2',
    ' ',
    'a.safetensors',
    'no/such',
    '.',
    'a\\u0000b',
  ],
];
const strings = [...words.map(word => `'${word}'`), "'x'.repeat(1e5)", "'\\ud800'"];
const functions = [
  ...['x => x', '() => {}', 'h.throws', 'async x => x', 'function* () {}', '() => C.ones([2])', '(...xs) => xs[0]'],
  ...[
    '() => NaN',
    '() => null',
    'class {}',
    'x => x.sum()',
    '() => C.ones([], { requiresGrad: true }).mul(2)',
    'C.F.relu',
  ],
];
const objects = [
  ...[
    '{}',
    '[]',
    'null',
    'undefined',
    'true',
    'false',
    "Symbol('s')",
    '1n',
    '2n**70n',
    'new Date(0)',
    '/a/',
    'new Map()',
  ],
  ...[
    'new Set([1])',
    'Promise.resolve(1)',
    'h.thrower()',
    'h.trap()',
    'Object.create(null)',
    'new Error("e")',
    'Object(1)',
  ],
  ...[
    '[, 1]',
    'new Array(1e5)',
    'h.circular()',
    'h.detached()',
    'h.liar()',
    'new ArrayBuffer(8)',
    'new Float32Array(4)',
  ],
  ...[
    'new Int32Array([1, 0])',
    'new BigInt64Array(2)',
    'new Uint8Array(300)',
    'new Float16Array(2)',
    'new Uint16Array(2)',
  ],
  ...['h.long()', '[1, [2]]', '[[1, 2], [3, 4]]', '[true, 2]', '[1n, 2.5]', '[null]', "['a']", '[{}]', '{ a: 1 }'],
  ...[
    '{ keepDim: true }',
    "{ dtype: 'x'.repeat(1e4) }",
    '{ learning_rate: 1 }',
    'h.proxy({})',
    'h.proxy([1])',
    'globalThis',
  ],
  ...['{ then() {} }', '{ toString() { throw 1 } }', '{ length: 3 }', '{ [Symbol.iterator]: 1 }', '[Symbol()]', '[1n]'],
];
const parts = [
  ...['new C.nn.Linear(3, 2)', 'new C.nn.Sequential(new C.nn.Linear(3, 4), new C.nn.ReLU(), new C.nn.Dropout(0.5))'],
  ...[
    'new C.nn.BatchNorm2d(2)',
    'new C.Generator(1)',
    'new C.GradScaler()',
    'new C.optim.SGD([h.leaf([2])], { lr: 0.1 })',
  ],
  ...['new C.optim.AdamW(new C.nn.Linear(2, 2).parameters())', 'new Map([["a", C.ones([2])]])', 'C.F'],
  ...[
    'new C.nn.Linear(2, 2).parameters()',
    'new C.AutocastReport()',
    'C.serve.batcher(x => x)',
    'C.serve.generator(h.causal)',
    'new AbortController().signal',
    'AbortSignal.abort(1)',
    'C.nn.Linear',
    'new C.autograd.FunctionContext()',
  ],
  ...['{ a: C.ones([2]), b: C.zeros([1]) }', 'new C.nn.Linear(3, 2).stateDict()', 'C.Tensor', 'C.Tensor.prototype'],
  ...[
    '{ params: [h.leaf([2])], lr: 0.1 }',
    '[{ params: [h.leaf([1])] }]',
    '[["w", h.leaf([2])]]',
    'new C.GradScaler().stateDict()',
  ],
];

const sizes = ['0', '1', '1', '2', '2', '3', '3', '4', '5'];
function shapeSource(dice: Dice, rank = dice.pick([0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 8])): string {
  return `[${Array.from({ length: rank }, () => (rank > 4 ? dice.pick(['1', '2', '0']) : dice.pick(sizes))).join(', ')}]`;
}

const dtypes = ['float32', 'float32', 'float16', 'bfloat16', 'float64', 'int32', 'int64', 'uint8', 'bool'];
function tensorSource(dice: Dice): string {
  const shape = shapeSource(dice);
  const dtype = dice.pick(dtypes);
  const base = dice.pick([
    `C.full(${shape}, ${dice.pick(['0', '1', '2', '-1', '0.5', 'NaN', 'Infinity', '300'])}, { dtype: '${dtype}' })`,
    `C.randn(${shape}).to('${dtype}')`,
    `C.randint(0, 3, ${shape}).to('${dtype}')`,
    `h.leaf(${shape})`,
    `h.leaf(${shape}).mul(2)`,
    `C.empty(${shape}, { dtype: '${dtype}' }).fill_(1)`,
  ]);
  const layout = dice.pick([
    '',
    '',
    '',
    '.T',
    '.flip([])',
    '.unsqueeze(0)',
    '.detach()',
    '.clone()',
    '.reshape([-1])',
    '.alias()',
  ]);
  const there = hasCuda && dice.chance(0.2) ? ".to('cuda')" : '';
  const whole = `${base}${layout}${there}`;
  return dice.pick([
    whole,
    whole,
    whole,
    whole,
    whole,
    whole,
    `h.view(${whole})`,
    `h.gone(${whole})`,
    `h.proxy(${whole})`,
  ]);
}

/** Any value, often a tensor or a number. */
export function anySource(dice: Dice, depth = 0): string {
  const kind = dice.below(20);
  if (kind < 6) return tensorSource(dice);
  if (kind < 10) return dice.pick(numbers);
  if (kind < 12) return dice.pick(strings);
  if (kind < 13) return shapeSource(dice);
  if (kind < 14) return dice.pick(functions);
  if (kind < 16) return dice.pick(parts);
  if (kind < 17 && depth < 2)
    return `[${Array.from({ length: dice.below(4) }, () => anySource(dice, depth + 1)).join(', ')}]`;
  return dice.pick(objects);
}

/** An argument: its source text and its value. */
export interface Argument {
  readonly source: string;
  readonly value: unknown;
}
/** The value of a source text, or null if it cannot be created, such as a view of nine axes. */
function argument(source: string): Argument {
  try {
    return { source, value: valueOf(source) };
  } catch (error) {
    if (error instanceof castor.CastorError) return { source: 'null', value: null };
    throw error;
  }
}

function optionsFor(dice: Dice, fields: Specs): Argument {
  const chosen = Object.entries(fields).filter(([, spec]) => spec.optional === false || dice.chance(0.4));
  const made = chosen.map(([name, spec]) => [name, argumentFor(dice, spec)] as const);
  return {
    source: `{ ${made.map(([name, { source }]) => `${name}: ${source}`).join(', ')} }`,
    value: Object.fromEntries(made.map(([name, { value }]) => [name, value])),
  };
}

/** A value that the signature accepts in most cases, found by trying. */
export function argumentFor(dice: Dice, spec: Spec): Argument {
  if (spec.optional && dice.chance(0.3)) return argument('undefined');
  if (dice.chance(0.15)) return argument(anySource(dice));
  if (spec.fields && dice.chance(0.8)) return optionsFor(dice, spec.fields);
  let last = argument(anySource(dice));
  for (let i = 0; i < 12 && !accepted(spec, last.value); i++) last = argument(anySource(dice));
  return last;
}
function accepted(spec: Spec, value: unknown): boolean {
  try {
    return spec.accepts(value);
  } catch {
    return false;
  }
}
