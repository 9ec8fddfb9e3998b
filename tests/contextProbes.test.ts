import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import { drainMicrotasks } from 'bun:jsc';
import { describe, expect, test } from 'bun:test';
import {
  autocast,
  autocastDtype,
  AutocastReport,
  autograd,
  bindContext,
  customBwd,
  customFwd,
  enableGrad,
  F,
  Generator,
  generator,
  GradScaler,
  graph,
  isGradEnabled,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  streamInContext,
  tensor,
  tidy,
  train,
  withGenerator,
  zeros,
  type Tensor,
} from 'castor';

/** The context state that a piece of code sees, and a tensor that it creates, which the surrounding tidy scope owns. */
interface Seen {
  readonly mode: { dtype: string | null; grad: boolean; seed: number };
  readonly made: Tensor;
}
const look = (): Seen => ({
  mode: { dtype: autocastDtype(), grad: isGradEnabled(), seed: generator().seed },
  made: ones([1]),
});
type Probe = () => void;

interface Place {
  /** Runs user code, which calls the probe. */
  readonly run: (probe: Probe) => unknown;
  /**
   * The parts of the state in which unbound code at this place differs from the task, as PyTorch or the documentation
   * defines it.
   */
  readonly mode?: Partial<Seen['mode']>;
  /** Whether this place frees the tensors that plain code creates there, as tidy() does. */
  readonly frees?: boolean;
}

class Calls extends nn.Module {
  readonly probe: Probe;
  constructor(probe: Probe) {
    super();
    this.probe = probe;
  }
  forward(x: Tensor): Tensor {
    this.probe();
    return x.mul(1);
  }
}
const leaf = (): Tensor => ones([2, 2], { requiresGrad: true });
/** An object with a getter that runs the probe and returns a value. */
const getter = <K extends string, V>(name: K, value: V, probe: Probe): Record<K, V> =>
  Object.defineProperty({}, name, {
    enumerable: true,
    get() {
      probe();
      return value;
    },
  }) as Record<K, V>;
/** A Proxy, each trap of which runs the probe once. */
const trapped = <T extends object>(target: T, probe: Probe): T => {
  let told = false;
  return new Proxy(target, {
    get(of, name) {
      if (!told) probe();
      told = true;
      return Reflect.get(of, name) as unknown;
    },
  });
};
const iterable = <T>(values: readonly T[], probe: Probe): Iterable<T> => ({
  [Symbol.iterator]() {
    probe();
    return values[Symbol.iterator]();
  },
});
const thenable = (probe: Probe): PromiseLike<number> =>
  ({
    then: (done: (value: number) => unknown) => {
      probe();
      done(1);
    },
  }) as PromiseLike<number>;
const custom = (forward: Probe, backward: Probe) =>
  autograd.customFunction({
    forward: (_, x: Tensor) => {
      forward();
      return x.mul(2);
    },
    backward: (_, g) => {
      backward();
      return g.mul(2);
    },
  });
const nothing = (): void => {};
class Dice extends Generator {
  readonly probe: Probe;
  constructor(probe: Probe) {
    super(3);
    this.probe = probe;
  }
  override next(): { seed: number; offset: number } {
    this.probe();
    return super.next();
  }
}
class Told extends AutocastReport {
  readonly probe: Probe;
  constructor(probe: Probe) {
    super();
    this.probe = probe;
  }
  #once = false;
  override noteOp(...args: Parameters<AutocastReport['noteOp']>): void {
    if (!this.#once) {
      this.#once = true;
      this.probe();
    }
    super.noteOp(...args);
  }
}
/** A scaler with a gradient, and an optimizer that is not built in. */
function scaled(parts: { step?: Probe; parameters?: Probe; stepUnless?: Probe; onSkip?: Probe; value?: number }) {
  const w = ones([1], { requiresGrad: true });
  const { onSkip } = parts;
  const scaler = new GradScaler({ initScale: 8, ...(onSkip && { onSkip: () => onSkip() }) });
  scaler.scale(w.mul(parts.value ?? 1).sum()).backward();
  const optimizer = {
    parameters: () => {
      parts.parameters?.();
      return [w];
    },
    step: () => parts.step?.(),
    ...(parts.stepUnless && { stepUnless: () => parts.stepUnless!() }),
  };
  return { scaler, optimizer, w };
}
const backwardOff = { dtype: null, grad: false };

/** Every place at which user code can run. */
const places: Record<string, Place> = {
  'a layer of a Sequential': { run: probe => new nn.Sequential(new Calls(probe)).forward(ones([2, 2])) },
  "a layer between Castor's own": {
    run: probe =>
      new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU(), new Calls(probe), new nn.Tanh()).forward(ones([2, 2])),
  },
  'a layer of a Sequential in a Sequential': {
    run: probe => new nn.Sequential(new nn.ReLU(), new nn.Sequential(new Calls(probe))).forward(ones([2, 2])),
  },
  'a forward put on one of the layers': {
    run: probe => {
      const layer = new nn.ReLU();
      layer.forward = x => {
        probe();
        return x;
      };
      new nn.Sequential(new nn.Tanh(), layer).forward(ones([2]));
    },
  },
  'module.apply()': { run: probe => new nn.ReLU().apply(() => probe()) },
  'a hook of a result': {
    run: probe => {
      const y = leaf().mul(2);
      y.registerHook(() => probe());
      y.sum().backward();
    },
    mode: backwardOff,
  },
  'a hook of a leaf': {
    run: probe => {
      const x = leaf();
      x.registerHook(() => probe());
      F.mseLoss(x.mul(2), zeros([2, 2])).backward();
    },
    mode: backwardOff,
  },
  'a hook with createGraph': {
    run: probe => {
      const y = leaf().mul(2);
      y.registerHook(() => probe());
      autograd.grad(y.sum(), y, { createGraph: true });
    },
    mode: { dtype: null },
  },
  'a hook that runs while another hook runs backward': {
    run: probe => {
      const [x, z] = [leaf(), leaf()];
      z.registerHook(() => probe());
      x.registerHook(() => enableGrad(() => z.mul(2).sum()).backward());
      x.mul(2).sum().backward();
    },
    mode: backwardOff,
  },
  'forward of a custom function': { run: probe => custom(probe, nothing)(leaf()), mode: { grad: false } },
  'backward of a custom function': {
    run: probe => custom(nothing, probe)(leaf()).sum().backward(),
    mode: backwardOff,
  },
  'customFwd and customBwd': {
    run: probe => {
      const fn = autograd.customFunction({
        forward: customFwd({}, (_, x: Tensor) => {
          probe();
          return x.mul(2);
        }),
        backward: customBwd((_, g) => g.mul(2)),
      });
      fn(leaf()).sum().backward();
    },
    mode: { grad: false },
  },
  'a checkpointed function': {
    run: probe =>
      autograd.checkpoint((x: Tensor) => {
        probe();
        return x.exp();
      }, leaf()),
    frees: true,
  },
  'a checkpointed function, run again': {
    run: probe => {
      let runs = 0;
      const y = autograd.checkpoint((x: Tensor) => {
        if (++runs === 2) probe();
        return x.exp();
      }, leaf());
      y.sum().backward();
    },
    frees: true,
  },
  'a function under gradcheck': {
    run: probe => {
      const x = ones([1], { dtype: 'float64', requiresGrad: true });
      let told = false;
      const once = (y: Tensor): Tensor => {
        if (!told) probe();
        told = true;
        return y.mul(2);
      };
      autograd.gradcheck(once, [x]);
    },
  },
  'options of a composed op': {
    run: probe => F.mseLoss(ones([2]), zeros([2]), getter('reduction', 'sum' as const, probe)),
  },
  'options of an op': { run: probe => ones([2]).sum(0, getter('keepdim', true, probe)) },
  'a proxy for options': {
    run: probe => F.l1Loss(ones([2]), zeros([2]), trapped({ reduction: 'sum' as const }, probe)),
  },
  'options of a function under an override': {
    run: probe =>
      autocast({ overrides: { softmax: 'input', mseLoss: 'input' } }, () => {
        F.mseLoss(ones([2]), zeros([2]), getter('reduction', 'sum' as const, probe));
      }),
  },
  'a proxy for a shape': { run: probe => ones([4]).reshape(trapped([2, 2], probe)) },
  'a proxy for values': { run: probe => tensor(trapped([1, 2], probe) as number[]) },
  'parameters to clip': { run: probe => nn.clipGradNorm(iterable([leaf()], probe), 1) },
  'parameters of a new optimizer': { run: probe => new optim.SGD(iterable([leaf()], probe), { lr: 1 }) },
  'containers of losses': { run: probe => new GradScaler().scale(getter('loss', ones([]), probe)) },
  'parameters() of an optimizer that is unscaled': {
    run: probe => {
      let told = false;
      const parameters = (): void => {
        if (!told) probe();
        told = true;
      };
      const { scaler, optimizer } = scaled({ parameters });
      scaler.unscale(optimizer);
    },
  },
  'step() of an optimizer': {
    run: async probe => {
      const { scaler, optimizer } = scaled({ step: probe });
      await scaler.step(optimizer);
    },
  },
  'stepUnless() of an optimizer': {
    run: probe => {
      const { scaler, optimizer } = scaled({ stepUnless: probe });
      scaler.step(optimizer);
    },
  },
  'step() under a disabled scaler': {
    run: probe => new GradScaler({ enabled: false }).step({ parameters: () => [], step: probe }),
  },
  onSkip: {
    run: async probe => {
      const { scaler, optimizer } = scaled({ onSkip: probe, value: Infinity });
      await scaler.step(optimizer);
    },
  },
  'tidy()': { run: probe => tidy(probe), frees: true },
  'autocast()': { run: probe => autocast({ dtype: 'float16' }, probe) },
  'autocast.wrap()': { run: probe => autocast.wrap(probe, { dtype: 'float16' })() },
  'noGrad()': { run: probe => noGrad(probe), mode: { grad: false } },
  'enableGrad()': { run: probe => enableGrad(probe) },
  'withGenerator()': { run: probe => withGenerator(new Generator(9), probe), mode: { seed: 9 } },
  'bindContext()': { run: probe => bindContext(probe)() },
  'what is awaited of tidy()': { run: probe => tidy(() => thenable(probe)), frees: true },
  'what is awaited of autocast()': { run: probe => autocast({ dtype: 'float16' }, () => thenable(probe)) },
  'what is awaited of noGrad()': { run: probe => noGrad(() => thenable(probe)), mode: { grad: false } },
  'what is awaited of withGenerator()': {
    run: probe => withGenerator(new Generator(9), () => thenable(probe)),
    mode: { seed: 9 },
  },
  'what is awaited of a bound function': { run: probe => bindContext(() => thenable(probe))() },
  'a getter of what tidy() returns': { run: probe => tidy(() => getter('value', 1, probe)) },
  'a generator that is streamed': {
    run: async probe => {
      function* values(): globalThis.Generator<number> {
        probe();
        yield 1;
      }
      await new Response(
        streamInContext(values())
          .pipeThrough(new TransformStream({ transform: (v, c) => c.enqueue(`${v}`) }))
          .pipeThrough(new TextEncoderStream()),
      ).text();
    },
  },
  'next() of a generator of random numbers': {
    run: probe => withGenerator(new Dice(probe), () => ones([2]).dropout(0.5)),
  },
  'next() of a generator inside of a composed op': {
    run: probe => withGenerator(new Dice(probe), () => ones([2]).multinomial(1)),
  },
  'noteOp() of a report': {
    run: probe => autocast({ dtype: 'float16', report: new Told(probe) }, () => ones([2]).mul(2)),
  },
  'noteOp() of a report inside of a composed op': {
    run: probe => autocast({ dtype: 'float16', report: new Told(probe) }, () => void F.mseLoss(ones([2]), zeros([2]))),
  },
  'a function that is captured': {
    run: probe => {
      let runs = 0;
      graph
        .capture(() => {
          if (runs++ === 0) probe();
          return ones([1]);
        })
        .dispose();
    },
    frees: true,
  },
  'a loss over batches': {
    run: probe =>
      train.meanLoss([1], () => {
        probe();
        return ones([]);
      }),
    mode: { grad: false },
    frees: true,
  },
  'batches of a loss': { run: probe => train.meanLoss(iterable([1], probe), () => ones([])), mode: { grad: false } },
  'a listener that a hook tells': {
    run: probe => {
      const events = new EventEmitter().on('gradient', probe);
      const x = leaf();
      x.registerHook(() => void events.emit('gradient'));
      x.sum().backward();
    },
    mode: backwardOff,
  },
  'microtasks that a hook lets run': {
    run: probe => {
      const x = leaf();
      queueMicrotask(probe);
      x.registerHook(() => drainMicrotasks());
      x.sum().backward();
    },
  },
};

/** Another task with a state of its own, which continues until it is told to end. */
function otherTask(): { bound: () => Seen; restored: () => Seen; end: () => Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  let probes!: { bound: () => Seen; restored: () => Seen };
  const ended = tidy(() =>
    autocast({ dtype: 'bfloat16' }, () =>
      withGenerator(new Generator(7), () =>
        noGrad(async () => {
          const snapshot = AsyncLocalStorage.snapshot();
          probes = { bound: AsyncResource.bind(look), restored: () => snapshot(look) };
          await promise;
        }),
      ),
    ),
  );
  return {
    ...probes,
    end: () => {
      resolve();
      return ended;
    },
  };
}

describe('user code runs under the mode of its own task in', () => {
  test.each(Object.entries(places))('%s', async (_, { run, mode = {}, frees = false }) => {
    const other = otherTask();
    const seen: { bound: Seen; restored: Seen; plain: Seen }[] = [];
    const probe = (): void => void seen.push({ bound: other.bound(), restored: other.restored(), plain: look() });
    await tidy(() =>
      autocast({ dtype: 'float16' }, () =>
        withGenerator(new Generator(3), async () => {
          const after = run(probe);
          if (after instanceof Promise) await after;
          expect(seen).toHaveLength(1);
          // No scope of Castor's own code has taken ownership of it.
          expect(seen[0]!.plain.made.disposed).toBe(frees);
        }),
      ),
    );
    const { bound, restored, plain } = seen[0]!;
    expect(plain.mode).toEqual({ dtype: 'float16', grad: true, seed: 3, ...mode });
    expect(plain.made.disposed).toBe(true);
    for (const { mode: theirs, made } of [bound, restored]) {
      expect(theirs).toEqual({ dtype: 'bfloat16', grad: false, seed: 7 });
      expect(made.toArraySync()).toEqual([1]);
    }
    await other.end();
    for (const { made } of [bound, restored]) expect(made.disposed).toBe(true);
  });
  test('a place that no other task has bound leaves nothing behind', () => {
    expect(look().mode).toMatchObject({ dtype: null, grad: true });
  });
});

describe('another task’s ops', () => {
  test('inside of a checkpointed function are none of the checkpoint’s', () => {
    const other = AsyncResource.bind(() => leaf().mul(3).exp());
    let theirs!: Tensor;
    const y = autograd.checkpoint((x: Tensor) => {
      theirs = other();
      return x.exp();
    }, leaf());
    const kept = randn([2, 2]);
    expect(() => theirs.sum().backward()).not.toThrow();
    y.sum().backward();
    kept.dispose();
  });
  test('that outlive their tidy scope belong to the scope around', async () => {
    const outer = await tidy(async () => {
      const late = tidy(() => AsyncResource.bind(() => ones([2])));
      const made = late();
      expect(made.disposed).toBe(false);
      return { made: [made].map(t => () => t.disposed) };
    });
    expect(outer.made[0]!()).toBe(true);
  });
});

describe('what can be awaited', () => {
  const scopes: Record<string, (fn: () => unknown) => unknown> = {
    tidy,
    autocast: fn => autocast({ dtype: 'float16' }, fn),
    'a nested autocast': fn => autocast({ dtype: 'bfloat16' }, () => autocast({ dtype: 'float16' }, fn)),
    'autocast.wrap': fn => autocast.wrap(fn, { dtype: 'float16' })(),
    noGrad,
    enableGrad,
    withGenerator: fn => withGenerator(new Generator(1), fn),
    bindContext: fn => bindContext(fn)(),
  };
  class Lazy extends Promise<number> {
    static override get [Symbol.species](): PromiseConstructor {
      return Promise;
    }
    work: () => number = () => 0;
    override then<A = number, B = never>(
      done?: ((value: number) => A | PromiseLike<A>) | null,
      failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
    ): Promise<A | B> {
      return Promise.resolve()
        .then(() => this.work())
        .then(done, failed);
    }
  }
  const lazies: Record<string, (work: () => number) => unknown> = {
    'a query': work => ({
      then: (ok: (v: number) => void, no: (e: unknown) => void) => Promise.resolve().then(work).then(ok, no),
    }),
    'a function with then()': work => Object.assign(() => 0, { then: (ok: (v: number) => void) => ok(work()) }),
    'a subclass of Promise': work => Object.assign(new Lazy(() => {}), { work }),
    'a promise with a then() of its own': work =>
      Object.assign(new Promise<number>(() => {}), { then: (ok: (v: number) => void) => ok(work()) }),
  };
  const cases = Object.entries(scopes).flatMap(([name, scope]) =>
    Object.entries(lazies).map(([kind, lazy]) => [name, kind, scope, lazy] as const),
  );
  test.each(cases)('of %s: %s runs in the scope, and gives a promise', async (_, __, scope, lazy) => {
    const x = ones([1]);
    const result = scope(() => {
      const inside = ones([1]);
      return lazy(() => inside.add(x).itemSync());
    });
    expect(Object.getPrototypeOf(result)).toBe(Promise.prototype);
    expect(await result).toBe(2);
    x.dispose();
  });
  test.each(Object.entries(scopes))('of %s: what fails, fails, and the scope ends', async (_, scope) => {
    const failing = {
      then: () => {
        throw new Error('on purpose');
      },
    };
    await expect(scope(() => failing) as Promise<unknown>).rejects.toThrow('on purpose');
    const noThen = {
      get then(): never {
        throw new Error('no then');
      },
    };
    expect(() => scope(() => noThen)).toThrow('no then');
    expect(await scope(async () => 3)).toBe(3);
    expect([autocastDtype(), isGradEnabled()]).toEqual([null, true]);
  });
  test.each(Object.entries(scopes))('of %s: generators are refused, wherever they come from', async (_, scope) => {
    function* values(): globalThis.Generator<number> {
      yield 1;
    }
    async function* later(): AsyncGenerator<number> {
      yield 1;
    }
    for (const fn of [values, later, () => values(), () => later(), () => values().map(x => x)])
      expect(() => scope(fn as never)).toThrow(/a generator runs only when it is read.*streamInContext/);
    await expect(scope(async () => values()) as Promise<unknown>).rejects.toThrow(
      /a generator runs only when it is read/,
    );
  });
  test.each(cases)('of %s: in an array or object %s is refused', async (_, __, scope, lazy) => {
    const message = /holds a query or the like.*Await it inside of the scope/;
    for (const wrap of [(query: unknown) => [1, query], (query: unknown) => ({ rows: query })]) {
      expect(() => scope(() => wrap(lazy(() => 1)))).toThrow(message);
      await expect(scope(async () => wrap(lazy(() => 1))) as Promise<unknown>).rejects.toThrow(message);
    }
    expect(scope(() => [Promise.resolve(1)])).toHaveLength(1);
    expect(scope(() => ({ value: 3 }))).toEqual({ value: 3 });
  });
  test.each(Object.entries(scopes))('of %s: what is no function is refused', (_, scope) => {
    for (const wrong of [undefined, null, 3, 'fn', ones([1]), {}])
      expect(() => scope(wrong as never)).toThrow(
        /^(tidy|autocast|noGrad|enableGrad|withGenerator|bindContext)[^ ]*: .*(no function to run|options|is missing)/,
      );
  });
  test('is refused by what has to run a function again', () => {
    for (const lazy of Object.values(lazies)) {
      expect(() => autograd.checkpoint(() => lazy(() => 1))).toThrow(/checkpoint: .*cannot be async/);
      expect(() => graph.capture(() => lazy(() => 1))).toThrow(/an async function cannot be captured/);
    }
    function* values(): globalThis.Generator<number> {
      yield 1;
    }
    expect(() => autograd.checkpoint(values)).toThrow(/^checkpoint: .*cannot be a generator/);
    expect(() => graph.capture(values)).toThrow(/^capture: a generator cannot be captured/);
  });
  test('the result of scaler.step() is handed through: it starts nothing', async () => {
    const { scaler, w } = scaled({});
    const result = tidy(() => scaler.step(new optim.SGD([w], { lr: 1 })));
    expect(result).not.toBeInstanceOf(Promise);
    expect(await result.skipped).toBe(false);
    scaler.update();
  });
  test('a tidy scope whose result cannot be looked through frees what was made in it', () => {
    let made!: Tensor;
    const wrong = (): unknown => {
      made = ones([1]);
      return {
        get value(): never {
          throw new Error('no value');
        },
      };
    };
    expect(() => tidy(wrong)).toThrow('no value');
    expect(made.disposed).toBe(true);
  });
});
