import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as castor from 'castor';
import {
  ArgumentError,
  CastorError,
  deviceInfo,
  GradScaler,
  memory,
  nn,
  ones,
  optim,
  setNumThreads,
  tidy,
} from 'castor';
import { Dice } from '../scripts/fuzz/dice.ts';
import { excluded, isClass, isInternal, receivers, targets, type Target } from '../scripts/fuzz/targets.ts';
import { isCallers, isSystems, restore, TENSOR_BYTES } from '../scripts/fuzz/worker.ts';
import { argumentFor, Thrown, valueOf } from '../scripts/fuzz/values.ts';

/** Functions that accept any number of arguments, or pass them to the caller's code. */
const takesMany =
  /^(F\.|Tensor\.)?(reshape|view|expand|permute|at)$|^autograd\.checkpoint$|^GradScaler\.step$|^(nn\.)?Sequential$|saveForBackward|^warnings\./;
/** Methods without arguments and without a gate: they run at every op or are given to forEach(). */
const harmless = new Set(['Tensor.dispose', 'Tensor.alias', 'Tensor.toString']);

const dice = new Dice(1, 1);
/** A call with valid arguments for a signature, so that the only wrong one is the one that the test inserts. */
function rightArguments(target: Target): unknown[] {
  return Object.values(target.specs ?? {}).map(spec => {
    for (let i = 0; i < 200; i++) {
      const { value } = argumentFor(dice, { ...spec, optional: false });
      try {
        if (spec.accepts(value)) return value;
      } catch {
        // A Proxy of the fuzzer that throws.
      }
    }
    return undefined;
  });
}

function run(target: Target, args: readonly unknown[]): unknown {
  if (target.kind === 'constructor') return new (valueOf(target.callee) as any)(...args);
  if (target.receiver === null) return (valueOf(target.callee) as any)(...args);
  const on = target.name.startsWith('Tensor.') ? ones([2, 3]) : valueOf(target.receiver(dice));
  return (on as any)[target.callee](...args);
}

/** The error that a call threw or rejected with; undefined if it gave a result. */
async function thrown(target: Target, args: readonly unknown[]): Promise<unknown> {
  try {
    await tidy(async () => void (await run(target, args)));
    return undefined;
  } catch (error) {
    return error;
  } finally {
    restore();
  }
}
/** Whether the outcome is a result, a typed error, or an error of the test's own callbacks. */
const fits = (target: Target, error: unknown): boolean =>
  error === undefined ||
  error instanceof CastorError ||
  error instanceof Thrown ||
  isCallers(error) ||
  isSystems(target.name, error);

let before = '';
const { threads = 1 } = deviceInfo('cpu');
beforeAll(() => {
  before = process.cwd();
  process.chdir(mkdtempSync(join(tmpdir(), 'castor-gate-')));
  memory.setLimit(TENSOR_BYTES, 'cpu');
});
afterAll(() => {
  process.chdir(before);
  restore();
  memory.setLimit(0, 'cpu');
  setNumThreads(threads);
});

interface Type {
  readonly name: string;
  readonly prototype: object;
}
const callable = targets.filter(({ kind }) => kind === 'function' || kind === 'constructor' || kind === 'method');

describe('every public function, constructor and method', () => {
  test('is found', () => {
    expect(callable.length).toBeGreaterThan(450);
    const names = callable.map(({ name }) => name);
    for (const name of ['F.sum', 'Tensor.add_', 'nn.Linear', 'GradScaler.step', 'io.saveCheckpoint', 'autocast.wrap'])
      expect(names).toContain(name);
  });
  test('of a class that is exported has an instance to be called on', () => {
    const spaces: readonly object[] = [castor, castor.nn, castor.optim, castor.data, castor.train];
    const classes = spaces.flatMap(space => Object.values(space) as unknown[]).filter(isClass) as Type[];
    const named = classes.filter(({ name, prototype }) => !(prototype instanceof Error) && name !== 'Tensor');
    const own = named.filter(type =>
      Object.getOwnPropertyNames(type.prototype).some(key => key !== 'constructor' && !isInternal(key)),
    );
    const missing = own.map(type => type.name).filter(name => !(name in receivers) && !(name in excluded));
    expect(missing).toEqual([]);
  });

  const strict = callable.filter(({ name }) => !takesMany.test(name) && !harmless.has(name));
  test.each(strict.map(target => [target.name, target] as const))(
    '%s refuses an argument too many',
    async (_, target) => {
      const superfluous = Array.from({ length: 8 }, () => Symbol('superfluous'));
      const error = await thrown(target, [...rightArguments(target), ...superfluous]);
      expect(error).toBeInstanceOf(ArgumentError);
      expect((error as Error).message).toMatch(/an argument too many: it takes \(/);
    },
  );

  const wrong: readonly (readonly [string, () => unknown])[] = [
    ['a string', () => 'wrong'],
    ['null', () => null],
    ['an unknown option', () => ({ noSuchOption: 1 })],
    ['a plain object', () => ({})],
    ['a symbol', () => Symbol('s')],
    ['a bigint', () => 2n ** 70n],
    ['NaN', () => NaN],
    ['a Proxy', () => new Proxy({}, {})],
    ['a Proxy of a tensor', () => new Proxy(ones([2, 3]), {})],
    ['an object without a prototype', () => Object.create(null) as unknown],
    ['a class', () => class {}],
  ];
  test.each(callable.map(target => [target.name, target] as const))(
    '%s gives a typed error or a result for wrong arguments',
    async (_, target) => {
      const count = Math.max(Object.keys(target.specs ?? {}).length, 1);
      for (const [what, value] of wrong)
        for (let place = 0; place < count; place++) {
          const args = rightArguments(target);
          args[place] = value();
          const error = await thrown(target, args);
          const right = fits(target, error);
          expect([what, place, right ? 'fits' : error]).toEqual([what, place, 'fits']);
        }
      for (let length = 0; length < count; length++) {
        const error = await thrown(target, rightArguments(target).slice(0, length));
        const right = fits(target, error);
        expect([length, right ? 'fits' : error]).toEqual([length, 'fits']);
      }
    },
  );
});

test.each<[string, () => unknown]>([
  ['a scaler', () => new Proxy(new GradScaler(), {}).update()],
  ['an optimizer', () => new Proxy(new optim.SGD([nn.Parameter(ones([1]))]), {}).step()],
  ['a generator', () => new Proxy(new castor.Generator(1), {}).manualSeed(2)],
  ['a generator as an option', () => castor.rand([1], { generator: new Proxy(new castor.Generator(1), {}) })],
  ['a tensor', () => new Proxy(ones([1]), {}).sum()],
  ['an operand', () => ones([1]).add(new Proxy(ones([1]), {}))],
])('a Proxy of %s is refused', (_, call) => expect(() => tidy(call)).toThrow(ArgumentError));

describe('an async function', () => {
  test.each<[string, () => Promise<unknown>]>([
    ['io.loadTensors', () => castor.io.loadTensors(3 as never, 4 as never)],
    ['io.saveTensors', () => castor.io.saveTensors('x', null as never)],
    ['io.loadCheckpoint', () => castor.io.loadCheckpoint('x', { modle: 1 } as never)],
    ['Tensor.data', () => (ones([1]).data as (wrong: number) => Promise<unknown>)(1)],
    ['train.generateText', () => castor.train.generateText(1 as never, 'a', { context: 1, length: 1 })],
    ['autocast.report', () => castor.autocast.report({ enabled: 1 } as never, () => 1)],
  ])('%s rejects, and throws nothing', async (_, call) => {
    let promise: unknown;
    expect(() => tidy(() => void (promise = call()))).not.toThrow();
    await expect(promise as Promise<unknown>).rejects.toThrow(CastorError);
  });
});

test('functions have their names in stack traces', () => {
  expect(castor.F.softmax.name).toBe('softmax');
  expect(castor.zeros.name).toBe('zeros');
  expect(castor.tidy.name).toBe('tidy');
  expect(castor.autograd.grad.name).toBe('grad');
});

describe('a caller that changes what it has passed', () => {
  test('changes no optimizer, scaler or layer', () => {
    tidy(() => {
      const betas: [number, number] = [0.5, 0.6];
      const options = { lr: 0.1, betas };
      const optimizer = new optim.AdamW([nn.Parameter(ones([2]))], options);
      options.lr = 9;
      betas[0] = 0;
      expect(optimizer.paramGroups[0]).toMatchObject({ lr: 0.1, betas: [0.5, 0.6] });
      const shape = [3];
      const norm = new nn.LayerNorm(shape);
      shape[0] = 7;
      expect(norm.normalizedShape).toEqual([3]);
      const kernel: [number, number] = [2, 2];
      const stride: [number, number] = [2, 2];
      const pool = new nn.MaxPool2d(kernel, { stride });
      kernel[0] = stride[0] = 4;
      expect(pool.forward(ones([1, 1, 4, 4])).shape).toEqual([1, 1, 2, 2]);
      const settings = { initScale: 2 };
      const scaler = new GradScaler(settings);
      settings.initScale = 4;
      expect(scaler.getScaleSync()).toBe(2);
    });
  });
  test('changes no wrapped function', () => {
    tidy(() => {
      const overrides: Record<string, 'fp32' | 'low'> = { softmax: 'low' };
      const options = { dtype: 'bfloat16' as const, device: 'cpu' as const, overrides };
      const wrapped = castor.autocast.wrap(() => castor.F.softmax(ones([2], { device: 'cpu' }), 0).dtype, options);
      overrides.softmax = 'fp32';
      options.dtype = 'float16' as never;
      expect(wrapped()).toBe('bfloat16');
    });
  });
  test('changes no shape', () => {
    tidy(() => {
      const shape = [2, 3];
      const made = [
        castor.zeros(shape),
        castor.rand(shape),
        castor.fromTypedArray(new Float32Array(6), shape),
        ones([6]).reshape(shape),
        ones([6]).view(shape),
        ones([3]).expand(shape),
        ones([6]).unflatten(0, shape),
      ];
      shape[0] = 99;
      for (const t of made) expect(t.shape).toEqual([2, 3]);
    });
  });
});
