/** What an async tidy scope keeps while it waits, and what outlives a scope because backward runs the user's code. */
import { describe, expect, test } from 'bun:test';
import { autograd, full, keep, memory, noGrad, ones, randn, tensor, tidy, zeros, type Tensor } from 'castor';
import { liveStorages as live, onEmulator, sized } from './setup.ts';

const MB = 2 ** 20;
const { checkpoint } = autograd;
const leaf = (values: number[]): Tensor => tensor(values, { requiresGrad: true });

/** Lets promises settle and overwrites the stack, then frees everything that nothing refers to. */
const overwriteStack = (depth: number): number => (depth === 0 ? 0 : 1 + overwriteStack(depth - 1));
async function collected(): Promise<number> {
  await Bun.sleep(1);
  overwriteStack(1000);
  memory.collect();
  return live();
}

describe('functions that wait at the same time', () => {
  let weight: Tensor;
  /** Allocates 4 MB, one quarter of a megabyte at a time. */
  const forward = (): Tensor => {
    let h: Tensor = ones([1024, 64]);
    for (let i = 0; i < 15; i++) h = i % 2 ? h.tanh() : h.matmul(weight);
    return h.mean();
  };
  const many = async (fn: () => Promise<number>): Promise<number> => {
    memory.collect();
    const before = memory.stats().liveBytes;
    memory.resetPeak();
    const values = await Promise.all(Array.from({ length: sized(64, 8) }, fn));
    expect(new Set(values).size).toBe(1);
    expect(memory.stats().liveBytes - before).toBeLessThan(MB);
    return memory.peak() - before;
  };
  test.if(!onEmulator)('do not keep what they have no more use for, while their reads arrive', async () => {
    weight = randn([64, 64]);
    expect(await many(() => tidy(async () => noGrad(forward).item()))).toBeLessThan(48 * MB);
    expect(await many(() => tidy(async () => await forward().item()))).toBeLessThan(64 * MB);
    expect(
      await many(() =>
        tidy(async () => {
          await null;
          return await noGrad(forward).item();
        }),
      ),
    ).toBeLessThan(64 * MB);
    weight.dispose();
  });
});

describe('an async scope', () => {
  test('keeps what its function still refers to, across collections', async () => {
    const before = live();
    const sum = await tidy(async () => {
      const x = full([3], 2);
      const view = tidy(() => x.mul(2)).view([3, 1]);
      for (let i = 0; i < 3; i++) {
        await Bun.sleep(1);
        memory.collect();
      }
      const y = view.add(x);
      await Bun.sleep(1);
      memory.collect();
      return y.sum().itemSync();
    });
    expect(sum).toBe(54);
    expect(live()).toBe(before);
  });
  test('frees all that is left when it ends: results go to the scope around it', async () => {
    const before = live();
    const kept: Tensor[] = [];
    await tidy(async () => {
      await null;
      const inner = await tidy(async () => {
        const [a, b] = [ones([2]), ones([3])];
        await null;
        kept.push(keep(b.add(1)), a, b);
        return [a.add(1), [b.add(2)]] as const;
      });
      expect(kept.map(t => t.disposed)).toEqual([false, true, true]);
      expect([inner[0].toArraySync(), inner[1][0]!.toArraySync()]).toEqual([
        [2, 2],
        [3, 3, 3],
      ]);
    });
    expect(live()).toBe(before + 1);
    kept[0]!.dispose();
  });
  test('that never ends is collected with its tensors', async () => {
    const before = await collected();
    (() => {
      for (let i = 0; i < 50; i++)
        void tidy(async () => {
          const early = ones([1000]);
          await null;
          const late = early.add(1);
          await new Promise(() => {});
          return [early, late];
        });
    })();
    await Bun.sleep(1);
    expect(live()).toBe(before + 100);
    // The stack may still refer to the last ones.
    expect((await collected()) - before).toBeLessThan(6);
  });
  test('of a long loop does not grow', async () => {
    const before = live();
    await tidy(async () => {
      let t: Tensor = zeros([1]);
      await null;
      for (let i = 0; i < sized(20_000, 3000); i++) t = t.add(1);
      memory.collect();
      expect(live() - before).toBeLessThan(20);
      expect(t.itemSync()).toBe(sized(20_000, 3000));
    });
    // The collection inside may also free what earlier tests left.
    expect(live()).toBeLessThanOrEqual(before);
  });
  test('owns the gradients that retainGrad() asks for', async () => {
    const before = live();
    let grad: Tensor | null = null;
    const x = leaf([1, 2]);
    await tidy(async () => {
      const y = x.mul(3);
      y.retainGrad();
      await null;
      y.square().sum().backward();
      grad = y.grad;
      expect(grad!.toArraySync()).toEqual([6, 12]);
    });
    expect(grad!.disposed).toBe(true);
    for (const t of [x.grad!, x]) t.dispose();
    expect(live()).toBe(before);
  });
});

describe('a graph that outlives its scope', () => {
  const scopes = {
    sync: (fn: () => Tensor): Tensor => tidy(fn),
    nested: (fn: () => Tensor): Tensor => tidy(() => tidy(() => tidy(fn).add(0))),
    async: (fn: () => Tensor): Promise<Tensor> =>
      tidy(async () => {
        await null;
        return fn();
      }),
  };
  for (const [name, scope] of Object.entries(scopes)) {
    test(`keeps what the closures of its checkpoints read, ${name}`, async () => {
      const before = live();
      const x = leaf([1, 2]);
      const loss = await scope(() => {
        const factor = ones([2]).mul(3);
        return checkpoint((t: Tensor) => t.mul(factor).sin(), x).sum();
      });
      loss.backward();
      expect(x.grad!).toBeAllclose([3 * Math.cos(3), 3 * Math.cos(6)]);
      for (const t of [loss, x.grad!, x]) t.dispose();
      expect((await collected()) - before).toBeLessThan(3);
    });
    test(`keeps what the closures of its hooks read, ${name}`, async () => {
      const before = live();
      const x = leaf([1, 2]);
      const loss = await scope(() => {
        const mask = tensor([0, 1]).mul(2);
        const y = x.mul(3);
        y.registerHook(g => g.mul(mask));
        return y.sum();
      });
      memory.collect();
      loss.backward();
      expect(x.grad!.toArraySync()).toEqual([0, 6]);
      for (const t of [loss, x.grad!, x]) t.dispose();
      expect((await collected()) - before).toBeLessThan(3);
    });
    test(`keeps what the hook of a tensor from outside reads, ${name}`, async () => {
      const x = leaf([1, 2]);
      const other = await scope(() => {
        const mask = tensor([0, 1]).mul(2);
        x.registerHook(g => g.mul(mask));
        return ones([1]);
      });
      memory.collect();
      for (let i = 1; i < 3; i++) {
        tidy(() => x.sum().backward());
        expect(x.grad!.toArraySync()).toEqual([0, 2 * i]);
      }
      for (const t of [other, x.grad!, x]) t.dispose();
    });
  }
  test('with hooks keeps nothing once backward has released it', () => {
    const before = live();
    const x = leaf([1, 2]);
    const loss = tidy(() => {
      const y = x.mul(3).sin();
      const mask = ones([2]);
      y.registerHook(g => g.mul(mask));
      const loss = y.sum();
      loss.backward();
      return loss;
    });
    expect(live()).toBe(before + 3);
    for (const t of [loss, x.grad!, x]) t.dispose();
  });
});
