import * as castor from 'castor';
import { signatureSpecs, type Spec, type Specs } from '../../runtime/arguments.ts';
import { Generation } from '../../runtime/serve/generation.ts';
import { KVCache } from '../../runtime/serve/kvCache.ts';
import type { Dice } from './dice.ts';
import { anySource, argumentFor, everything, valueOf, type Argument } from './values.ts';

/** A public function, constructor or method. */
export interface Target {
  /** The name in errors and reports: F.sum, Tensor.add_, nn.Linear, GradScaler.step. */
  readonly name: string;
  /** Returns a source text for the object that the method is called on. null for functions and constructors. */
  readonly receiver: ((dice: Dice) => string) | null;
  /** The function as an expression, or the name of the method. */
  readonly callee: string;
  readonly kind: 'function' | 'constructor' | 'method' | 'getter' | 'setter';
  readonly specs: Specs | null;
}

export const isClass = (value: unknown): boolean =>
  typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value));

/** Public names that are not to be called, with the reason. */
export const excluded: Readonly<Record<string, string>> = {
  Tensor: 'its constructor is called by Castor alone',
  'graph.CapturedGraph': 'its constructor is called by Castor alone',
  'autograd.FunctionContext': 'customFunction makes it',
  'nn.Module': 'it is abstract: the constructors of its subclasses take arguments',
  'serve.Batcher': 'batcher() makes it',
  'serve.TextGenerator': 'generator() makes it',
  'serve.Admission': 'admission() makes it',
  'train.interruption': 'it changes what signals do to this process',
};
const internals = new Set([
  ...['noteOp', 'noteCast', 'skip', 'release', 'update', 'stateOf', 'explain', 'node', 'isGenuine', 'fn', 'loadingOf'],
  ...['families', 'take', 'finish', 'fail', 'whenEnded'],
]);
export const isInternal = (name: string): boolean => internals.has(name);

/** Classes that are public as types alone: a generator makes their objects. */
const unexported = { Generation, KVCache };

/** The calls that make instances of a class. */
export const receivers: Readonly<Record<string, readonly string[]>> = {
  Generator: ['new C.Generator(1)'],
  AutocastReport: ['new C.AutocastReport()'],
  GradScaler: [
    'new C.GradScaler()',
    'new C.GradScaler({ enabled: false })',
    'new C.GradScaler({ maxConsecutiveSkips: 1 })',
  ],
  FunctionContext: ['new C.autograd.FunctionContext()'],
  CapturedGraph: ['C.graph.capture(() => C.ones([2]).mul(2))'],
  Optimizer: ['new C.optim.SGD([h.leaf([2])], { lr: 0.1, momentum: 0.9 })', 'new C.optim.AdamW([h.leaf([2])])'],
  SGD: ['new C.optim.SGD([h.leaf([2])])'],
  Module: ['new C.nn.Linear(3, 2)', 'new C.nn.Sequential(new C.nn.Linear(2, 2), new C.nn.BatchNorm2d(2))'],
  Linear: ['new C.nn.Linear(3, 2)'],
  Conv2d: ['new C.nn.Conv2d(2, 2, 1)'],
  BatchNorm2d: ['new C.nn.BatchNorm2d(2)'],
  Embedding: ['new C.nn.Embedding(4, 2)'],
  LayerNorm: ['new C.nn.LayerNorm(3)'],
  RMSNorm: ['new C.nn.RMSNorm(3)'],
  Dropout: ['new C.nn.Dropout(0.5)'],
  Sequential: ['new C.nn.Sequential(new C.nn.Linear(3, 2))'],
  ReLU: ['new C.nn.ReLU()'],
  GELU: ['new C.nn.GELU()'],
  MaxPool2d: ['new C.nn.MaxPool2d(2)'],
  Flatten: ['new C.nn.Flatten()'],
  MSELoss: ['new C.nn.MSELoss()'],
  L1Loss: ['new C.nn.L1Loss()'],
  CrossEntropyLoss: ['new C.nn.CrossEntropyLoss()'],
  NLLLoss: ['new C.nn.NLLLoss()'],
  BCELoss: ['new C.nn.BCELoss()'],
  BCEWithLogitsLoss: ['new C.nn.BCEWithLogitsLoss()'],
  ByteWindows: ['new C.data.ByteWindows(new Uint8Array(300), 8)'],
  MetricsLog: ['new C.train.MetricsLog(null)'],
  Monitor: ['new C.train.Monitor({ steps: 3, tokensPerStep: 2, stream: { write() {} } })'],
  Batcher: [
    'C.serve.batcher(x => x.mul(2))',
    "C.serve.batcher(x => x.sum(-1), { maxBatch: 2, invariant: true, dtype: 'int64', bucketBy: s => s.map(n => n + 1) })",
    'C.serve.batcher(h.throws)',
  ],
  TextGenerator: ['C.serve.generator(h.causal, { context: 8, kvCache: { tokens: 32, pageSize: 4 } })'],
  Admission: ['C.serve.admission({ maxBytes: 100 })'],
  Generation: ['C.serve.generator(h.causal, { context: 8, kvCache: { tokens: 32 } }).generate([1])'],
  KVCache: ['h.cache()'],
  Progress: ['new C.train.Progress(3, { stream: { write() {} } })'],
};

function* methodsOf(name: string, type: { prototype: object }): Generator<Target> {
  const sources = receivers[name];
  if (name !== 'Tensor' && sources === undefined) return;
  const receiver =
    name === 'Tensor'
      ? (dice: Dice): string => {
          for (let i = 0; i < 20; i++) {
            const source = anySource(dice);
            if (valueOf(source) instanceof castor.Tensor) return source;
          }
          return 'C.ones([2, 3])';
        }
      : (dice: Dice): string => dice.pick(sources!);
  // A generation begins to compute when it is made.
  if (sources !== undefined && !(name in unexported)) yield* ownFunctions(name, sources[0]!);
  for (const key of Object.getOwnPropertyNames(type.prototype)) {
    if (key === 'constructor' || isInternal(key)) continue;
    const property = Object.getOwnPropertyDescriptor(type.prototype, key)!;
    const specs =
      signatureSpecs.get(`${name}.${key}`) ?? (name === 'Tensor' ? withoutFirst(signatureSpecs.get(key)) : null);
    const base = { name: `${name}.${key}`, receiver, callee: key, specs };
    if (typeof property.value === 'function') yield { ...base, kind: 'method' };
    if (property.get) yield { ...base, kind: 'getter' };
    if (property.set) yield { ...base, kind: 'setter' };
  }
}
/** The functions that an instance has as its own properties. */
function* ownFunctions(name: string, source: string): Generator<Target> {
  const receiver = (): string => source;
  for (const [key, value] of Object.entries(valueOf(source) as object))
    if (typeof value === 'function' && !isInternal(key))
      yield {
        name: `${name}.${key}`,
        receiver,
        callee: key,
        kind: 'method',
        specs: signatureSpecs.get(`${name}.${key}`) ?? null,
      };
}
const withoutFirst = (specs: Specs | undefined): Specs | null =>
  specs === undefined ? null : Object.fromEntries(Object.entries(specs).slice(1));

function* targetsIn(path: string, space: object): Generator<Target> {
  for (const [key, value] of Object.entries(space)) {
    const name = path === 'C' ? key : `${path.slice(2)}.${key}`;
    if (name in excluded && !isClass(value)) continue;
    if (isInternal(key)) continue;
    const specs = signatureSpecs.get(name) ?? signatureSpecs.get(key) ?? signatureSpecs.get(`nn.${key}`) ?? null;
    const own = { name, receiver: null, callee: `${path}.${key}`, specs };
    if (isClass(value)) {
      if (!(name in excluded) && !(value.prototype instanceof Error)) yield { ...own, kind: 'constructor' };
      yield* methodsOf(key, value as { prototype: object });
    } else if (typeof value === 'function') {
      yield { ...own, kind: 'function' };
      yield* targetsIn(own.callee, value as object);
    } else if (typeof value === 'object' && value !== null && key !== 'functional' && !Array.isArray(value))
      yield* targetsIn(own.callee, value as object);
  }
}

/** Everything that is public, found by reflection over the exports of the package. */
export const targets: readonly Target[] = [
  ...targetsIn('C', everything),
  ...Object.entries(unexported).flatMap(([name, type]) => [...methodsOf(name, type)]),
];

/** Arguments for a call, of the types that its signature names if it has one, and sometimes one too many or too few. */
export function argumentsFor(dice: Dice, { specs, kind }: Target): Argument[] {
  if (kind === 'getter') return [];
  const list: readonly Spec[] = specs ? Object.values(specs) : [];
  const args = list.map(spec => argumentFor(dice, spec));
  if (list.at(-1)?.rest) for (let i = dice.below(4); i > 0; i--) args.push(argumentFor(dice, list.at(-1)!));
  const more = specs === null ? dice.below(4) : dice.chance(0.05) ? 1 : 0;
  for (let i = 0; i < more; i++) {
    const source = anySource(dice);
    args.push({ source, value: valueOf(source) });
  }
  if (dice.chance(0.04)) args.pop();
  return args;
}
