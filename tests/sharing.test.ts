/** Tensors whose memory several threads share: what holds it, what frees it, and what may not be done to it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  CheckpointError,
  DisposedError,
  fromShared,
  fromTypedArray,
  GraphError,
  graph,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  ShapeError,
  tensor,
  tidy,
  zeros,
  type SharedTensor,
  Tensor,
} from 'castor';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './process.ts';
import { liveStorages as live } from './setup.ts';

const MB = 2 ** 20;
const bytes = (): number => memory.stats().liveBytes;

describe('a shared tensor', () => {
  test('shows the same memory, whatever its layout, and is freed with the last that shows it', () => {
    const [storages, before] = [live(), bytes()];
    const t = fromTypedArray(
      Float32Array.from({ length: 12 }, (_, i) => i),
      [3, 4],
    );
    expect(t.isShared).toBe(false);
    const whole = fromShared(structuredClone(t.share()));
    const part = fromShared(structuredClone(t.T.select(0, 1).share()));
    expect([t.isShared, whole.isShared, part.isShared]).toEqual([true, true, true]);
    expect(bytes()).toBe(before + t.nbytes);
    expect(whole.toArraySync()).toEqual(t.toArraySync());
    expect(part.toArraySync()).toEqual([1, 5, 9]);
    expect(tidy(() => part.add(whole.select(1, 0)).toArraySync())).toEqual([1, 9, 17]);
    t.dispose();
    expect(tidy(() => whole.sum().itemSync())).toBe(66);
    part.dispose();
    expect(bytes()).toBeGreaterThanOrEqual(before + 48);
    expect(tidy(() => whole.sum().itemSync())).toBe(66);
    whole.dispose();
    memory.collect();
    expect([bytes(), live()]).toEqual([before, storages]);
  });
  test.each(['int64', 'bool', 'bfloat16', 'float16'] as const)('has its dtype, %s', dtype => {
    tidy(() => {
      const t = tensor([1, 0, 1]).to(dtype);
      const opened = fromShared(t.share());
      expect(opened.dtype).toBe(dtype);
      expect(opened.toArraySync()).toEqual(t.toArraySync());
    });
  });
  test('belongs to the scope in which it was opened', () => {
    const storages = live();
    const t = ones([2]);
    const shared = t.share();
    tidy(() => void fromShared(shared));
    expect(live()).toBe(storages + 1);
    t.dispose();
  });
  test('is empty or a number as well', () => {
    tidy(() => {
      expect(fromShared(zeros([0, 3]).share()).shape).toEqual([0, 3]);
      expect(fromShared(tensor(5).share()).itemSync()).toBe(5);
    });
  });

  const writes: [string, (t: Tensor) => unknown][] = [
    ['mul_', t => t.mul_(2)],
    ['add_ to a view', t => t.select(0, 0).add_(1)],
    ['exp_', t => t.exp_()],
    ['copy_', t => t.copy_(zeros([2, 2]))],
    ['fill_', t => t.fill_(1)],
    ['zero_', t => t.zero_()],
    [
      'an optimizer',
      t => {
        const p = nn.Parameter(t);
        p.square().sum().backward();
        try {
          new optim.SGD([p], { lr: 1 }).step();
        } finally {
          p.grad!.dispose();
          p.grad = null;
          t.storage.kept = false;
        }
      },
    ],
    [
      'loadStateDict()',
      t =>
        Object.assign(new nn.Linear(2, 2, { bias: false }), { weight: nn.Parameter(t) }).loadStateDict({
          weight: zeros([2, 2]),
        }),
    ],
  ];
  test.each(writes)('cannot be written to by %s, in either thread', (_, write) => {
    tidy(() => {
      const t = tensor([
        [1, 2],
        [3, 4],
      ]);
      const opened = fromShared(t.share());
      for (const each of [t, opened]) {
        expect(() => write(each)).toThrow(ArgumentError);
        expect(() => write(each)).toThrow(
          /is shared with other threads, and nothing can be written to it\. clone\(\) it first/,
        );
      }
      expect(opened.toArraySync()).toEqual([
        [1, 2],
        [3, 4],
      ]);
      expect(opened.clone().mul_(2).toArraySync()).toEqual([
        [2, 4],
        [6, 8],
      ]);
    });
  });
  test('has gradients of its own', () => {
    tidy(() => {
      const t = fromShared(tensor([1, 2]).share()).requiresGrad_();
      t.square().sum().backward();
      expect(t.grad!.toArraySync()).toEqual([2, 4]);
      t.grad!.dispose();
    });
  });
  test('that was freed cannot be opened', () => {
    const t = ones([3]);
    const shared = t.share();
    t.dispose();
    expect(() => fromShared(shared)).toThrow(DisposedError);
    expect(() => fromShared(shared)).toThrow(/Keep the tensor that was shared until every Worker has opened it/);
    expect(() => t.share()).toThrow(DisposedError);
  });
  test('of a captured graph is refused', () => {
    tidy(() => {
      const captured = graph.capture(() => ones([3]).mul(2));
      expect(() => captured.result.share()).toThrow(GraphError);
      captured.dispose();
    });
  });
  test('is opened from what share() returned, and nothing else', () => {
    const t = ones([3]);
    const shared = t.share();
    const wrong: [Partial<Record<keyof SharedTensor, unknown>>, RegExp][] = [
      [{ kind: 'x' }, /does not come from share\(\)/],
      [{ shape: [3, 'x'] }, /does not come from share\(\)/],
      [{ strides: [] }, /does not come from share\(\)/],
      [{ offset: -1 }, /does not come from share\(\)/],
      [{ handle: 0.5 }, /does not come from share\(\)/],
      [{ process: 1 }, /memory of another process/],
      [{ library: '/x.so' }, /another native library/],
      [{ dtype: 'float128' }, /no dtype/],
      [{ shape: [4] }, /not within the shared memory/],
      [{ handle: 2 ** 52 }, /not the handle of a live storage/],
    ];
    for (const [change, message] of wrong)
      expect(() => fromShared({ ...shared, ...change } as SharedTensor)).toThrow(message);
    expect(() => fromShared({ ...shared, shape: [4] })).toThrow(ShapeError);
    for (const wrong of [{}, Tensor.prototype, zeros([2])])
      expect(() => fromShared(wrong as unknown as SharedTensor)).toThrow(ArgumentError);
    t.dispose();
  });
});

describe('a shared model', () => {
  const model = (): nn.Sequential =>
    new nn.Sequential(new nn.Linear(8, 16), new nn.LayerNorm(16), new nn.Linear(16, 2));
  test('replaces the memory of another one', () => {
    memory.collect();
    const before = bytes();
    const first = model().eval();
    const second = model().eval();
    const own = bytes();
    const x = randn([4, 8]);
    tidy(() => noGrad(() => void second.forward(x)));
    second.useShared(structuredClone(first.share()));
    expect(bytes()).toBeLessThan(own - 500);
    tidy(() => noGrad(() => expect(second.forward(x)).toBeAllclose(first.forward(x))));
    for (const t of first.stateDict().values()) t.dispose();
    tidy(() => expect(noGrad(() => second.forward(x)).shape).toEqual([4, 2]));
    for (const t of [x, ...second.stateDict().values()]) t.dispose();
    memory.collect();
    expect(bytes()).toBeLessThanOrEqual(before);
  });
  test('of another shape is refused, and nothing is replaced', () => {
    const [first, second] = [new nn.Linear(3, 2), new nn.Linear(3, 4)];
    const storages = live();
    expect(() => second.useShared(first.share())).toThrow(CheckpointError);
    expect(() => second.useShared({ weight: first.weight.share() })).toThrow(/bias is missing/);
    expect([live(), second.weight.isShared]).toEqual([storages, false]);
    for (const m of [first, second]) for (const t of m.parameters()) t.dispose();
  });
});

// Node has no Worker of the web, and Deno's takes modules alone: runtimeWorkers.test.ts tests theirs.
describe.if('bun' in process.versions)('Workers', () => {
  let folder: string;
  let file: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'castor-sharing-'));
    file = join(folder, 'worker.ts');
    writeFileSync(
      file,
      `import * as c from ${JSON.stringify(join(root, 'runtime/index.ts'))};
       const model = new c.nn.Linear(1024, 1024);
       self.onmessage = async ({ data }) => {
         if (data === 'answer') return postMessage(await c.tidy(() => c.noGrad(() => model.forward(c.ones([1, 1024])).sum().item())));
         model.useShared(data);
         postMessage('open');
       };`,
    );
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const reply = (worker: Worker, message: unknown): Promise<unknown> =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = event => reject(new Error(event.message));
      worker.postMessage(message);
    });

  test('serve one model in one memory, which lives as long as one of them', async () => {
    const before = bytes();
    const model = new nn.Linear(1024, 1024);
    const expected = tidy(() =>
      noGrad(() =>
        model
          .forward(ones([1, 1024]))
          .sum()
          .itemSync(),
      ),
    );
    const shared = model.share();
    const workers = Array.from({ length: 3 }, () => new Worker(file));
    for (const worker of workers) expect(await reply(worker, shared)).toBe('open');
    expect(bytes() - before).toBeLessThan(5 * MB);
    for (const t of model.parameters()) t.dispose();
    for (const worker of workers) expect(await reply(worker, 'answer')).toBeCloseTo(expected, 3);
    expect(bytes() - before).toBeGreaterThan(4 * MB);
    for (const worker of workers) worker.terminate();
    for (let i = 0; i < 100 && bytes() !== before; i++) await Bun.sleep(20);
    expect(bytes()).toBe(before);
  });
});
