/** Memory that nobody frees, on every runtime: in synchronous code, between promises, and where the collector cannot be called. */
import { describe, expect, test } from 'bun:test';
import { empty, memory, ones, tidy } from 'castor';
import { join } from 'node:path';
import { finished, root } from './process.ts';

const MB = 2 ** 20;
const runtime = 'bun' in process.versions ? 'bun' : 'deno' in process.versions ? 'deno' : 'node';

describe('what nothing refers to is freed', () => {
  const peakOf = (run: () => void): number => {
    memory.collect();
    memory.resetPeak();
    const before = memory.stats('cpu').liveBytes;
    run();
    return memory.peak('cpu') - before;
  };
  test('in a synchronous loop of large tensors', () => {
    const loop = (): void => {
      for (let i = 0; i < 100; i++) empty([64 * MB], { dtype: 'uint8', device: 'cpu' });
    };
    expect(peakOf(loop)).toBeLessThan(1024 * MB);
  });
  test('in a synchronous loop of many small ones', () => {
    memory.collect();
    const before = memory.stats('cpu').liveStorages;
    for (let i = 0; i < 200_000; i++) empty([1], { device: 'cpu' });
    expect(memory.stats('cpu').liveStorages - before).toBeLessThan(150_000);
  });
  test('between promises that wait for nothing', async () => {
    memory.collect();
    memory.resetPeak();
    const before = memory.stats('cpu').liveBytes;
    for (let i = 0; i < 50; i++) {
      empty([64 * MB], { dtype: 'uint8', device: 'cpu' });
      await null;
    }
    expect(memory.peak('cpu') - before).toBeLessThan(1024 * MB);
  });
  test('and no promise of the program is answered meanwhile', async () => {
    const order: string[] = [];
    const answered = Promise.resolve().then(() => order.push('answered'));
    process.nextTick(() => order.push('next tick'));
    memory.collect();
    order.push('collected');
    await answered;
    expect(order[0]).toBe('collected');
  });
  test('when memory is short', () => {
    memory.collect();
    memory.setLimit(memory.stats('cpu').liveBytes + 40 * MB, 'cpu');
    try {
      for (let i = 0; i < 20; i++) empty([30 * MB], { dtype: 'uint8', device: 'cpu' });
    } finally {
      memory.setLimit(0, 'cpu');
    }
  });
  test('and what is referred to stays, also in graphs', () => {
    tidy(() => {
      const x = ones([4], { requiresGrad: true });
      const y = x.mul(3).exp().sum();
      memory.collect();
      y.backward();
      expect(x.grad!.dataSync()[0]).toBeCloseTo(3 * Math.exp(3), 3);
    });
  });
});

describe.if(runtime !== 'bun')('where the collector cannot be called', () => {
  /** The lines that a program prints. It takes the collector away before Castor is loaded. */
  const program = async (lines: string): Promise<string[]> => {
    const code = `
      const print = value => console.log(String(value));
      const { ffi } = await import(${JSON.stringify(join(root, `runtime/ffi/${runtime}.ts`))});
      ffi.collect = null;
      process.on('warning', ({ code }) => code?.startsWith('CASTOR') && print(code));
      const { empty, memory } = await import(${JSON.stringify(join(root, 'runtime/index.ts'))});
      const make = () => void empty([64 * 2 ** 20], { dtype: 'uint8' });
      ${lines}`;
    const command = [process.execPath, '-e', code];
    const child = Bun.spawn(command, { cwd: root, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
    const { stdout, stderr, exitCode } = await finished(child);
    expect(exitCode, stderr).toBe(0);
    return stdout.trim().split('\n');
  };

  test('a synchronous loop is warned once, and what it made is freed on the event loop', async () => {
    const lines = await program(`
      for (let i = 0; i < 40; i++) make();
      print(memory.stats().liveStorages);
      for (let i = 0; i < 500 && memory.stats().liveStorages > 1; i++) await new Promise(resolve => setTimeout(resolve, 10));
      print(memory.stats().liveStorages <= 1);`);
    expect(lines).toEqual(['40', 'CASTOR_NOTHING_COLLECTED', 'true']);
  });
  test('a loop that lets the event loop turn needs no warning', async () => {
    const lines = await program(`
      for (let i = 0; i < 50; i++) {
        make();
        await new Promise(resolve => setTimeout(resolve, 1));
      }
      print(memory.peak() < 100 * 64 * 2 ** 20);`);
    expect(lines).toEqual(['true']);
  });
});
