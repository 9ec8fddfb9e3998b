/** Pending work keeps its process or Worker alive until it is done, and no longer. */
import { afterAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { printed, root } from './process.ts';

const folder = mkdtempSync(join(tmpdir(), 'castor-pending-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('a process', () => {
  test('lives until what it reads is there, and then ends', async () => {
    expect(await printed(`void c.ones([2 ** 20]).data().then(values => print('read', values.length));`)).toEqual([
      'read 1048576',
    ]);
  });
  test('waits for many reads at once, and for those that come later', async () => {
    const lines = await printed(`
      const all = await Promise.all(Array.from({ length: 50 }, (_, i) => c.full([3], i).item().catch(() => c.full([], i).item())));
      print(all.join());
      await Bun.sleep(20);
      void c.full([], 7).item().then(value => setTimeout(() => void c.full([], value + 1).item().then(print), 20));`);
    expect(lines).toEqual([Array.from({ length: 50 }, (_, i) => i).join(), '8']);
  });
  test('ends after a read that could not begin, and reads again', async () => {
    const lines = await printed(`
      const { native } = await import(${JSON.stringify(join(root, 'runtime/ffi/library.ts'))});
      const { castor_read_start: start } = native;
      native.castor_read_start = () => 3;
      print(await c.ones([2]).data().then(() => 'read', error => error.name));
      native.castor_read_start = start;
      print((await c.ones([2]).data()).join());`);
    expect(lines).toEqual(['DTypeError', '1,1']);
  });
});

/** A Worker of the web, as Bun has it; runtimeWorkers.test.ts has those of node:worker_threads. */
describe.if('bun' in process.versions)('a Worker', () => {
  const worker = join(folder, 'worker.ts');
  writeFileSync(
    worker,
    `import * as c from ${JSON.stringify(join(root, 'runtime/index.ts'))};
     const got = [];
     for (let i = 0; i < 5; i++) {
       got.push(await c.full([], i).item());
       await Bun.sleep(i * 5);
     }
     got.push(...(await Promise.all([1, 2, 3].map(i => c.full([], 10 * i).item()))));
     postMessage(got);`,
  );
  test('gets what it reads, one after the other and together, and then ends', async () => {
    const lines = await printed(`
      const worker = new Worker(${JSON.stringify(worker)});
      worker.onmessage = ({ data }) => print(data.join());
      worker.onerror = event => print(event.message);
      await new Promise(resolve => worker.addEventListener('close', resolve));
      print('closed');`);
    expect(lines).toEqual(['0,1,2,3,4,10,20,30', 'closed']);
  });
});
