/** In a container whose memory is limited an OutOfMemoryError comes before the system would end the process (container.c makes one up). */
import { afterAll, beforeAll, describe, expect } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findTools } from '../../scripts/native.ts';
import { MEASURES_MEMORY, unlessEmulated } from '../processor.ts';
import { printed } from '../process.ts';
import { onEmulator } from '../setup.ts';

let folder: string;
let box: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-container-'));
  box = join(folder, 'container.so');
  const source = join(import.meta.dir, 'container.c');
  const command = [findTools().compiler, '-x', 'c', source, '-shared', '-fPIC', '-o', box, '-ldl'];
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(stderr.toString());
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const MB = 2 ** 20;
const LIMIT = 240 * MB;

/** Runs a program that needs ever more memory in the container. Returns the errors that it met, and the most memory that it used. */
async function inContainer(program: string): Promise<{ lines: string[]; peak: number }> {
  const lines = await printed(
    `const { readFileSync } = await import('node:fs');
     const kept = [];
     const until = async step => { for (let i = 0; i < 5000; i++) await step(i); };
     const caught = await (async () => { ${program} })().then(() => 'no error', error => error);
     print(caught.name ?? caught, caught.message?.split(';')[0]);
     print(readFileSync('/proc/self/status', 'utf8').match(/VmHWM:\\s+(\\d+)/)[1]);
     kept.length = 0;
     const sum = () => { c.memory.collect(); try { return c.ones([1000]).sum().itemSync(); } catch { return null; } };
     let alive = null;
     // The engine gives its memory back on a thread of its own, which takes a moment where there is one processor alone.
     for (let i = 1; i <= 50 && alive === null; i++) { await Bun.sleep(i); alive = sum(); }
     print(alive);`,
    { LD_PRELOAD: box, FAKE_LIMIT: String(LIMIT) },
  );
  const [error, peak, alive] = lines as [string, string, string];
  expect(alive).toBe('1000');
  return { lines: [error], peak: 1024 * Number(peak) };
}

// The library with the emulator has the same code.
describe.if(!onEmulator)('a container that limits memory ends no process that', () => {
  unlessEmulated(MEASURES_MEMORY).each([
    ['makes large tensors', 'await until(() => kept.push(c.empty([5e6])));'],
    ['makes small tensors', 'await until(() => kept.push(Array.from({ length: 50 }, () => c.empty([20_000]))));'],
    ['reads a tensor often', 'const t = c.ones([5e6]); await until(() => kept.push(t.dataSync()));'],
    ['reads and does not wait', 'const t = c.ones([5e6]); await until(async () => kept.push(await t.data()));'],
    [
      'has many reads under way',
      'const t = c.ones([5e6]); kept.push(...(await Promise.all(Array.from({ length: 60 }, () => t.data()))));',
    ],
    ['makes nested arrays', 'const t = c.ones([700, 700]); await until(() => kept.push(t.toArraySync()));'],
    [
      'computes with much temporary memory',
      'const x = c.ones([6e6]).to("bfloat16"); await until(i => kept.push(c.ones([3e6]), x.sort(0)[0].narrow(0, 0, 1).clone()));',
    ],
    [
      'trains a model that is too large',
      `const w = c.nn.Parameter(c.randn([1024, 1024]));
       kept.push(c.ones([256, 1024])); await until(() => kept.push(kept.pop().matmul(w).tanh()));`,
    ],
  ])('%s', async (_, program) => {
    const { lines, peak } = await inContainer(program);
    expect(lines[0]).toMatch(
      /^OutOfMemoryError \w+: (wanted [\d.]+ [KM]iB|no memory for \d+ bytes that the op needs while it runs)/,
    );
    expect(peak).toBeLessThan(LIMIT);
    expect(peak).toBeGreaterThan(LIMIT / 2);
  });
});
