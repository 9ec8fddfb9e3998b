/** Workers of node:worker_threads, which every runtime has: what they read, what they compute, and what they leave behind. */
import { afterAll, describe, expect, test } from 'bun:test';
import { memory, tidy, zeros, type Tensor } from 'castor';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { printed, root } from './process.ts';

const folder = mkdtempSync(join(tmpdir(), 'castor-workers-'));
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
afterAll(() => rmSync(folder, { recursive: true }));

let written = 0;
/** Writes a program for a Worker, in which Castor's names are in scope as `c`. */
function programOf(lines: string): string {
  const path = join(folder, `${written++}.ts`);
  writeFileSync(
    path,
    `import { parentPort } from 'node:worker_threads';
     import * as c from ${JSON.stringify(join(root, 'runtime/index.ts'))};
     ${lines}`,
  );
  return path;
}
/** The number of live storages, once the threads that have just ended have freed theirs. */
async function liveAtLast(): Promise<number> {
  const live = (): number => memory.stats('cpu').liveStorages;
  for (let i = 0; i < 500 && live() > 0; i++) await Bun.sleep(10);
  return live();
}

describe('a Worker', () => {
  test('gets what it reads, one after the other and together, and then ends', async () => {
    const worker = new Worker(
      programOf(`
        const got = [];
        for (let i = 0; i < 5; i++) {
          got.push(await c.full([], i).item());
          await new Promise(resolve => setTimeout(resolve, i * 5));
        }
        got.push(...(await Promise.all([1, 2, 3].map(i => c.full([], 10 * i).item()))));
        parentPort.postMessage(got);`),
    );
    const ended = once(worker, 'exit');
    expect(await once(worker, 'message')).toEqual([[0, 1, 2, 3, 4, 10, 20, 30]]);
    expect(await ended).toEqual([0]);
    expect(await liveAtLast()).toBe(0);
  });
  test('is not disturbed by another, nor by the main thread', async () => {
    const program = programOf(`
      const { F, manualSeed, nn, optim, randn, tidy } = c;
      manualSeed(42);
      const model = new nn.Linear(16, 16);
      const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
      const losses = [];
      for (let step = 0; step < 100; step++)
        losses.push(tidy(() => {
          const x = randn([64, 16]);
          optimizer.zeroGrad();
          const loss = F.mseLoss(model.forward(x), x.mul(2));
          loss.backward();
          optimizer.step();
          return loss.itemSync();
        }));
      parentPort.postMessage(losses);`);
    const run = async (): Promise<number[]> => {
      const worker = new Worker(program);
      const ended = once(worker, 'exit');
      const [losses] = (await once(worker, 'message')) as [number[]];
      await ended;
      return losses;
    };
    const both = Promise.all([run(), run()]);
    const mine = tidy(() => {
      let t: Tensor = zeros([1000]);
      for (let i = 0; i < 2000; i++) t = tidy(() => t.add(1));
      return t.sum().itemSync();
    });
    const [first, second] = await both;
    expect(mine).toBe(2_000_000);
    expect(first).toHaveLength(100);
    expect(second).toEqual(first!);
    expect(first!.at(-1)!).toBeLessThan(first![0]! / 2);
    expect(await liveAtLast()).toBe(0);
  });
  test('that is terminated in the middle of its reads leaves nothing behind, and nobody calls it', async () => {
    const program = programOf(`
      const step = c.graph.capture(() => c.randn([100]));
      parentPort.postMessage('reading');
      for (;;) {
        const all = Array.from({ length: 50 }, () => c.randn([100]).sum().item());
        await all[3];
        step.replay();
      }`);
    const lines = await printed(`
      const { Worker } = await import('node:worker_threads');
      for (let i = 0; i < 4; i++) {
        const worker = new Worker(${JSON.stringify(program)});
        await new Promise(resolve => worker.once('message', resolve));
        await new Promise(resolve => setTimeout(resolve, 20 + 7 * i));
        await worker.terminate();
      }
      for (let i = 0; i < 200 && c.memory.stats().liveStorages > 0; i++) await new Promise(resolve => setTimeout(resolve, 10));
      print(c.memory.stats().liveStorages, await c.ones([3]).sum().item());`);
    expect(lines).toEqual(['0 3']);
  });
});
