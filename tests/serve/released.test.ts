/** The memory that a server keeps after a load: nothing beside the tensors that are alive and what the JavaScript engine keeps itself. */
import { expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MEASURES_MEMORY, unlessEmulated } from '../processor.ts';
import { printed, root } from '../process.ts';
import { onEmulator } from '../setup.ts';

const MB = 2 ** 20;
/**
 * Memory of the process that is in no file, which leaves out the program of the engine itself, is counted on Linux alone. The library with the
 * emulator has memory of its own, and its CPU code is that of every library.
 */
const counted = existsSync('/proc/self/smaps_rollup') && !onEmulator;
if (!counted)
  console.log(
    'A test is skipped: the memory that is in no file can be counted on Linux only, and not with the emulator of CUDA',
  );

(counted ? unlessEmulated(MEASURES_MEMORY) : test.skip)(
  'releaseCached() leaves less than 20 MB beside live tensors and what importing Castor takes',
  async () => {
    const serve = join(root, 'runtime/entries/serve.ts');
    const lines = await printed(`
    const { readFileSync } = await import('node:fs');
    const { batcher } = await import(${JSON.stringify(serve)});
    const anonymous = () => 1024 * Number(readFileSync('/proc/self/status', 'utf8').match(/RssAnon:\\s+(\\d+)/)[1]);
    const released = async () => {
      for (let i = 0; i < 3; i++) {
        await Bun.sleep(20);
        Bun.gc(true);
        c.memory.collect();
        c.memory.releaseCached('cpu');
      }
      return anonymous();
    };
    const before = await released();
    const { nn } = c;
    const model = new nn.Sequential(new nn.Linear(784, 512), new nn.ReLU(), new nn.Linear(512, 10));
    const served = batcher(x => model.forward(x), { maxBatch: 64, maxQueue: 5000, capture: true });
    const row = new Float32Array(784).fill(0.5);
    for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 1000 }, () => served.run(row)));
    const kept = Array.from({ length: 40 }, () => c.ones([2 ** 20], { device: 'cpu' }));
    const loaded = anonymous();
    for (const t of kept.splice(0)) t.dispose();
    await served.close();
    const { liveBytes, graphBytes, cachedBytes } = (await released(), c.memory.stats('cpu'));
    print(loaded - before, anonymous() - before - liveBytes, graphBytes, cachedBytes);
  `);
    const [loaded, left, graphs, cached] = lines[0]!.split(' ').map(Number);
    expect(loaded).toBeGreaterThan(160 * MB);
    expect(left).toBeLessThan(20 * MB);
    expect([graphs, cached]).toEqual([0, 0]);
  },
);
