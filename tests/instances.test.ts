/** Several instances of Castor in one thread: modules that are evaluated again (bun --hot), and copies of the package. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { libraryPath } from '../runtime/ffi/library.ts';
import { printed, root } from './process.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-instances-'));
  for (const part of ['package.json', 'runtime']) cpSync(join(root, part), join(folder, part), { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true }));

const RELOADS = 20;
/** A model of 1 MB, a scope that never ends, a captured graph and a read; then what is left of all instances. */
const program = (round: number): string => `
  const c = await import(${JSON.stringify(join(root, 'runtime/index.ts'))});
  const { heapStats } = await import('bun:jsc');
  const model = new c.nn.Linear(500, 500);
  const y = c.tidy(() => c.noGrad(() => model.forward(c.ones([4, 500])).sum()));
  void c.tidy(async () => [c.ones([1000]), await new Promise(() => {})]);
  const captured = c.graph.capture(() => c.noGrad(() => model.forward(c.ones([4, 500])).mul(2)));
  captured.replay();
  globalThis.rounds = (globalThis.rounds ?? 0) + 1;
  const value = await y.item();
  await Bun.sleep(1);
  c.memory.collect();
  Bun.gc(true);
  const { liveBytes } = c.memory.stats();
  console.log(JSON.stringify({ round: globalThis.rounds, value, liveBytes, objects: heapStats().objectCount }));
  // ${round}
`;

test('modules that are evaluated again leave nothing behind', async () => {
  const file = join(folder, 'hot.ts');
  writeFileSync(file, program(0));
  const child = Bun.spawn([process.execPath, '--hot', '--no-clear-screen', file], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const seen: { value: number; liveBytes: number; objects: number }[] = [];
  let text = '';
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const lines = text.split('\n');
    text = lines.pop()!;
    seen.push(...lines.map(line => JSON.parse(line) as (typeof seen)[number]));
    if (seen.length > RELOADS) break;
    writeFileSync(file, program(seen.length));
  }
  child.kill();
  expect(seen.every(({ value }) => Number.isFinite(value))).toBe(true);
  const [, early, late] = [seen[0]!, seen[3]!, seen.at(-1)!];
  // The engine may still refer to the last instances; each has a model of a megabyte and several thousand objects.
  expect(late.liveBytes - early.liveBytes).toBeLessThan(3 * 2 ** 20);
  expect(late.objects - early.objects).toBeLessThan(30_000);
});

describe('two copies of the package in one thread', () => {
  const reads = `
    const b = await import(folder + '/runtime/index.ts');
    const all = [];
    for (let i = 0; i < 30; i++) all.push((i % 2 ? b : c).full([], i).item(), (i % 3 ? c : b).full([3], 100 + i).data().then(v => v[2]));
    const values = (await Promise.all(all)).join();
    b.tidy(() => b.ones([10]));
    for (let i = 0; i < 10; i++) (i % 2 ? b : c).ones([1000]);
  `;
  const expected = Array.from({ length: 30 }, (_, i) => `${i},${100 + i}`).join();
  const lines = (): string => `const folder = ${JSON.stringify(folder)};${reads}`;

  test('get their own reads', async () => {
    const program = `${lines()}
      c.memory.collect();
      print(values);
      print(b.tidy !== c.tidy, c.memory.stats().liveStorages === b.memory.stats().liveStorages);`;
    expect(await printed(program, { CASTOR_LIBRARY: libraryPath })).toEqual([expected, 'true true']);
  });
  test('get their own reads in a Worker', async () => {
    const worker = join(folder, 'worker.ts');
    writeFileSync(
      worker,
      `const c = await import(${JSON.stringify(join(root, 'runtime/index.ts'))}); ${lines()} postMessage(values);`,
    );
    const program = `
      const worker = new Worker(${JSON.stringify(worker)});
      worker.onmessage = ({ data }) => { print(data); worker.terminate(); };
      worker.onerror = event => print(event.message);`;
    expect(await printed(program, { CASTOR_LIBRARY: libraryPath })).toEqual([expected]);
  });
});
