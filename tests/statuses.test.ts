/** Every status that the native library returns is checked: if any call of an op fails, the op throws an error. */
import { afterEach, describe, expect, test } from 'bun:test';
import {
  arange,
  CastorError,
  data,
  DTypeError,
  eye,
  full,
  Generator,
  graph,
  GradScaler,
  io,
  linspace,
  memory,
  nn,
  ones,
  optim,
  OutOfMemoryError,
  rand,
  randint,
  randperm,
  setNumThreads,
  synchronize,
  tensor,
  Tensor,
  tidy,
  zeros,
} from 'castor';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '../runtime/ffi/library.ts';
import { symbols } from '../runtime/ffi/symbols.ts';
import { dtypesOf, layoutsOf, listOf, ownCases, tensorsOf, valuesOf } from './ops/run.ts';
import { devices } from './setup.ts';

/**
 * Functions whose result is not a status, and functions that free something, whose callers could do nothing about a
 * failure.
 */
const others =
  /abi_version|last_status|set_float32_precision|castor_free|graph_free|capture_abort|set_wake|notify|release_cached/;
const names = Object.entries(symbols)
  .filter(([name, { returns }]) => returns === 'i32' && !others.test(name))
  .map(([name]) => name as keyof typeof native);
const originals = new Map(names.map(name => [name, native[name]]));
const replace = native as Record<string, unknown>;
afterEach(() => {
  for (const [name, fn] of originals) replace[name] = fn;
});

/** DTypeError as a status. None of these calls has a reason to return it. */
const DTYPE = 3;
/** Lets one call of the library fail, counted from 0. Returns the names of all calls up to it. */
function letFail(at: number): string[] {
  const calls: string[] = [];
  for (const [name, fn] of originals)
    replace[name] = (...args: unknown[]): number => {
      calls.push(name);
      return calls.length - 1 === at ? DTYPE : (fn as (...args: unknown[]) => number)(...args);
    };
  return calls;
}

/** Runs a function once for each of its calls, and lets another call fail each time. */
function everyCallFails(run: () => unknown, op: string): string[] {
  const all = letFail(-1);
  tidy(run);
  for (let at = 0; at < all.length; at++) {
    letFail(at);
    let error: unknown;
    try {
      tidy(run);
    } catch (thrown) {
      error = thrown;
    }
    expect([op, at, all[at], error instanceof DTypeError]).toEqual([op, at, all[at], true]);
  }
  letFail(-1);
  return all;
}

describe.each([...devices])('on %s', device => {
  test.each(ownCases)('%s, forwards and backwards', (name, row) => {
    const variant = row.variants[0]!;
    const [layouts] = layoutsOf(variant);
    const trial = { name: `${name} 0`, dtype: dtypesOf(row, variant)[0]!, layouts: layouts!, device };
    const values = valuesOf(variant, trial);
    if (values === null) return;
    const operands = tensorsOf(variant, values, trial);
    const run = (): void => {
      const leaves = operands.map((t, i) =>
        t.isFloat && !variant.frozen?.includes(i) ? t.detach().requiresGrad_() : t,
      );
      const results = listOf(variant.run(...leaves)).filter(t => t instanceof Tensor && t.requiresGrad);
      if (results.length > 0) results[0]!.sum().backward();
    };
    everyCallFails(run, name);
    for (const t of operands) (t.base ?? t).dispose();
  });

  const calls: Record<string, () => unknown> = {
    arange: () => arange(5, { device }),
    linspace: () => linspace(0, 1, 5, { device }),
    'linspace of integers': () => linspace(0, 9, 4, { device, dtype: 'int64' }),
    eye: () => eye(3, { device }),
    full: () => full([2], 3, { device }),
    rand: () => rand([2], { device }),
    randint: () => randint(0, 3, [2], { device }),
    randperm: () => randperm(5, { device, dtype: 'int32' }),
    tensor: () => tensor([1, 2], { device, dtype: 'float16' }),
    'reading in another order': () => ones([2, 3], { device }).T.dataSync(),
    'reading bfloat16': () => ones([2], { device, dtype: 'bfloat16' }).toArraySync(),
    'text of a large tensor': () => String(ones([2000], { device })),
    set_: () => zeros([4], { device }).set_([[0, 2]], ones([2], { device })),
    'set_ with a mask': () => zeros([4], { device }).set_([[true, false, true, false]], 3),
    at: () => ones([4, 4], { device }).at([0, 2], [1, 3]),
    'in place': () => ones([4], { device }).add_(1).neg_().fill_(2),
    'in place, over itself': () =>
      arange(4, { device })
        .slice(0, 1)
        .copy_(arange(4, { device }).slice(0, 0, 3)),
    multinomial: () => ones([4], { device }).multinomial(2),
    'bytes of a text': () => {
      using windows = new data.ByteWindows(new Uint8Array(9), 2, { device });
      return [...windows.spread(2, 2), windows.random(2, new Generator(1))];
    },
    clipping: () => {
      const p = ones([3], { device, requiresGrad: true });
      p.grad = ones([3], { device });
      nn.clipGradValue(p, 0.5);
      return nn.clipGradNorm(p, 1);
    },
    'batch norm with running statistics': () =>
      new nn.BatchNorm2d(2, { device }).forward(ones([2, 2, 2, 2], { device })),
    'gradients of views that are written to': () => {
      const x = ones([4], { device, requiresGrad: true });
      const y = x.mul(2);
      y.slice(0, 1).mul_(3);
      y.sum().backward();
    },
    'training in mixed precision': () => {
      const p = ones([3], { device, requiresGrad: true });
      const scaler = new GradScaler({ device });
      for (const optimizer of [new optim.SGD([p], { momentum: 0.9 }), new optim.AdamW([p], { amsgrad: true })]) {
        scaler.scale(p.sum()).backward();
        scaler.step(optimizer);
        scaler.update();
        optimizer.zeroGrad();
      }
      return scaler.stateDict()!.scale;
    },
    'a graph': () => {
      const x = ones([3], { device });
      using captured = graph.capture(() => x.add_(1), { device });
      captured.replay();
    },
    'the memory': () => {
      memory.stats(device);
      memory.resetPeak(device);
      memory.setLimit(0, device);
      synchronize(device);
    },
  };
  test.each(Object.keys(calls))('%s', name => {
    expect(everyCallFails(calls[name]!, name).length).toBeGreaterThan(0);
  });
});

describe('an op that lacked memory for its work', () => {
  const MEMORY = 6;
  /** Lets the first `count` calls of a function fail because there is no memory. Returns the number of calls so far. */
  function lack(name: keyof typeof native, count: number): () => number {
    let calls = 0;
    replace[name] = (...args: unknown[]): number =>
      calls++ < count ? MEMORY : (originals.get(name) as (...args: unknown[]) => number)(...args);
    return () => calls;
  }
  /** A slice, for which elementwise ops take the general path: see tests/flat.test.ts for the other one. */
  const slice = (): Tensor => tensor([1, 2, 3]).narrow(0, 1, 2);
  const ops: readonly [string, keyof typeof native, (x: Tensor) => Tensor, unknown][] = [
    ['neg', 'castor_unary', x => x.neg(), [-2, -3]],
    ['add', 'castor_binary', x => x.add(1), [3, 4]],
    ['eq', 'castor_compare', x => x.eq(3), [false, true]],
    ['sum', 'castor_reduce', x => x.sum(), 5],
    ['sort', 'castor_sort', x => x.sort(0, { descending: true }).values, [3, 2]],
    ['matmul', 'castor_matmul', x => x.matmul(x), 13],
    ['clone', 'castor_copy', x => x.clone(), [2, 3]],
  ];
  test.each([...ops])('%s is made once more', (_, name, run, expected) =>
    tidy(() => {
      const x = slice();
      const calls = lack(name, 1);
      expect(run(x).toArraySync()).toEqual(expected as never);
      expect(calls()).toBe(2);
    }),
  );
  test.each([...ops])('%s is not made a third time', (_, name, run) =>
    tidy(() => {
      const x = slice();
      const calls = lack(name, Infinity);
      expect(() => run(x)).toThrow(OutOfMemoryError);
      expect(calls()).toBe(2);
    }),
  );
  test('a node of backward is run once more, and not a third time', () =>
    tidy(() => {
      const x = tensor([2, 3], { requiresGrad: true });
      const y = x.mul(x).sum();
      const once = lack('castor_binary', 1);
      y.backward(null, { retainGraph: true });
      expect(x.grad!.toArraySync()).toEqual([4, 6]);
      expect(once()).toBeGreaterThan(1);
      const always = lack('castor_binary', Infinity);
      expect(() => y.backward()).toThrow(OutOfMemoryError);
      expect(always()).toBeLessThanOrEqual(4);
    }));
  test('memory for a result is asked for once more', () =>
    tidy(() => {
      const { castor_alloc: alloc, castor_last_status: status } = native;
      const x = slice();
      let calls = 0;
      try {
        replace.castor_alloc = (...args: [number, number]): number => (calls++ === 0 ? 0 : alloc(...args));
        replace.castor_last_status = (): number => MEMORY;
        expect(x.neg().toArraySync()).toEqual([-2, -3]);
        replace.castor_alloc = (): number => 0;
        expect(() => x.neg()).toThrow(OutOfMemoryError);
        replace.castor_last_status = (): number => DTYPE;
        expect(() => x.neg()).toThrow(DTypeError);
      } finally {
        replace.castor_alloc = alloc;
        replace.castor_last_status = status;
      }
    }));
});

test('the number of threads', () => {
  letFail(0);
  expect(() => setNumThreads(1)).toThrow(DTypeError);
});

describe('work that is waited for', () => {
  const folder = mkdtempSync(join(tmpdir(), 'castor-statuses-'));
  const path = join(folder, 'file');
  const jobs: Record<string, () => Promise<unknown>> = {
    data: async () => ones([2]).data(),
    item: async () => ones([2]).sum().item(),
    toArray: async () => ones([2, 3]).T.toArray(),
    saveTensors: async () => io.saveTensors(path, { w: ones([2, 3]).T }),
    loadTensors: async () => io.loadTensors(path),
  };
  test.each(Object.keys(jobs))('%s', async name => {
    const all = letFail(-1);
    await tidy(jobs[name]!);
    for (let at = 0; at < all.length; at++) {
      letFail(at);
      const error: unknown = await tidy(jobs[name]!).catch((thrown: unknown) => thrown);
      expect([at, all[at], error instanceof CastorError]).toEqual([at, all[at], true]);
    }
    letFail(-1);
  });
  test('leaves no folder', () => rmSync(folder, { recursive: true }));
});
