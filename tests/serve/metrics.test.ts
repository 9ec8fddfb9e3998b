import { describe, expect, spyOn, test } from 'bun:test';
import { ArgumentError, memory, ones, OverloadedError, tidy, type Tensor } from 'castor';
import { batcher, health, metrics } from 'castor/serve';
import { processorEmulated } from '../processor.ts';

/** One line of a name, labels and a value, as Prometheus's format 0.0.4 has it. */
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)+\})? (\S+)$/;

/** Reads the text form: the values by name and labels. Fails if it breaks a rule of the format. */
function read(text: string): Map<string, number> {
  expect(text.endsWith('\n')).toBe(true);
  const values = new Map<string, number>();
  const seen = new Set<string>();
  let family = '';
  for (const line of text.trimEnd().split('\n')) {
    const help = /^# HELP (\w+) \S/.exec(line);
    if (help) {
      // All samples of a name stand together, after one pair of comments.
      family = help[1]!;
      expect(seen.has(family)).toBe(false);
      seen.add(family);
    } else if (line.startsWith('# TYPE'))
      expect(line).toMatch(new RegExp(`^# TYPE ${family} (counter|gauge|histogram)$`));
    else {
      const [, name, labels = '', value] = SAMPLE.exec(line) ?? expect.unreachable(`not a sample: ${line}`);
      expect(name!.replace(/_(bucket|sum|count)$/, '')).toBe(family.replace(/_(bucket|sum|count)$/, ''));
      expect([values.has(name + labels), Number.isFinite(Number(value))]).toEqual([false, true]);
      values.set(name + labels, Number(value));
    }
  }
  return values;
}

describe('metrics()', () => {
  test("is Prometheus's text form, with the figures of each batcher by its name", async () => {
    await using one = batcher((x: Tensor) => x.mul(2), { name: 'one', maxBatch: 4 });
    await using odd = batcher((x: Tensor) => x, { name: 'a "quoted\\ name"\nof two lines', maxQueue: 1 });
    await Promise.all(Array.from({ length: 6 }, () => one.run([1])));
    const results = await Promise.allSettled([odd.run([1]), odd.run([1])]);
    expect((results[1] as PromiseRejectedResult).reason).toBeInstanceOf(OverloadedError);
    await Bun.sleep(1);
    const values = read(metrics());
    const of = (name: string, labels = ''): number | undefined =>
      values.get(`castor_batcher_${name}{batcher="one"${labels}}`);
    expect(of('queued_requests')).toBe(0);
    expect(of('queued_bytes')).toBe(0);
    expect(of('running_batches')).toBe(0);
    expect(of('batches_total')).toBe(2);
    expect(of('requests_total', ',outcome="answered"')).toBe(6);
    expect(of('requests_total', ',outcome="timedOut"')).toBe(0);
    // Each bucket of a histogram counts all values up to its bound: batches of 4 and 2 rows.
    expect(['1', '2', '4', '8', '+Inf'].map(le => of('batch_rows_bucket', `,le="${le}"`))).toEqual([0, 1, 2, 2, 2]);
    expect([of('batch_rows_sum'), of('batch_rows_count')]).toEqual([6, 2]);
    expect(of('wait_seconds_count')).toBe(6);
    expect(of('run_seconds_count')).toBe(2);
    expect(
      values.get(
        'castor_batcher_requests_total{batcher="a \\"quoted\\\\ name\\"\\nof two lines",outcome="overloaded"}',
      ),
    ).toBe(1);
  });
  test('batchers of one name are told apart', async () => {
    await using first = batcher((x: Tensor) => x, { name: 'same' });
    await using second = batcher((x: Tensor) => x, { name: 'same' });
    expect([first.name, second.name]).toEqual(['same', 'same-2']);
    await second.run([1]);
    const values = read(metrics());
    expect(values.get('castor_batcher_batches_total{batcher="same"}')).toBe(0);
    expect(values.get('castor_batcher_batches_total{batcher="same-2"}')).toBe(1);
    await first.close();
    await using third = batcher((x: Tensor) => x, { name: 'same' });
    expect(third.name).toBe('same');
  });
  test('a batcher that was closed is in it no more', async () => {
    const gone = batcher((x: Tensor) => x, { name: 'gone' });
    expect(metrics()).toContain('"gone"');
    await gone.close();
    expect(metrics()).not.toContain('"gone"');
  });
  test('has the memory of each device and of the process', () => {
    tidy(() => {
      const before = read(metrics());
      const made = ones([1024], { device: 'cpu' });
      const after = read(metrics());
      const live = 'castor_memory_live_bytes{device="cpu"}';
      expect(after.get(live)! - before.get(live)!).toBeGreaterThanOrEqual(made.nbytes);
      expect(after.get('castor_memory_cached_bytes{device="cpu"}')).toBe(memory.stats('cpu').cachedBytes);
      if (!processorEmulated) expect(after.get('process_resident_memory_bytes')).toBeGreaterThan(1e6);
    });
  });
  test('counts what a queue holds', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    await using busy = batcher((x: Tensor) => promise.then(() => x), { name: 'busy', maxBatch: 1 });
    const answers = [busy.run([1, 2])];
    await Bun.sleep(5);
    answers.push(busy.run([1, 2]), busy.run([3, 4]));
    const values = read(metrics());
    expect(values.get('castor_batcher_queued_requests{batcher="busy"}')).toBe(2);
    expect(values.get('castor_batcher_queued_bytes{batcher="busy"}')).toBe(16);
    expect(values.get('castor_batcher_running_batches{batcher="busy"}')).toBe(1);
    resolve();
    await Promise.all(answers);
  });
});

describe('health()', () => {
  test('describes library, devices and memory, and can be written as JSON', () => {
    const state = health();
    expect(state.status).toBe('ok');
    expect(state.library.path).toMatch(/\.so/);
    expect(state.library.abi).toBeGreaterThanOrEqual(7);
    const cpu = state.devices.find(({ device }) => device === 'cpu')!;
    expect(cpu).toMatchObject({ working: true, error: null });
    expect([typeof cpu.isa, typeof cpu.threads]).toEqual(['string', 'number']);
    expect(cpu.freeBytes).toBeGreaterThan(0);
    if (!processorEmulated) expect(state.residentBytes).toBeGreaterThan(1e6);
    expect(JSON.parse(JSON.stringify(state))).toEqual(state as never);
  });
  test('has the last error that a model threw, and not those of requests', async () => {
    const infer = batcher((x: Tensor) => {
      if (x.shape[1] === 3) throw new RangeError('the model is broken');
      return x;
    });
    await Promise.allSettled([infer.run([1, 2, 3])]);
    const error = health().lastError!;
    expect(error).toMatchObject({ name: 'RangeError', message: 'the model is broken' });
    expect(Math.abs(Date.now() - Date.parse(error.time))).toBeLessThan(60_000);
    await Promise.allSettled([infer.run('x' as never)]);
    expect(health().lastError).toEqual(error);
  });
});

test('both say nothing of the memory of the process where the system tells 0 for it', () => {
  const told = spyOn(process.memoryUsage, 'rss').mockReturnValue(0);
  try {
    expect(health().residentBytes).toBeNull();
    expect(metrics()).not.toContain('process_resident_memory_bytes');
  } finally {
    told.mockRestore();
  }
});

test('both take no arguments', () => {
  expect(() => (metrics as (x: number) => string)(1)).toThrow(ArgumentError);
  expect(() => (health as (x: number) => object)(1)).toThrow(ArgumentError);
});
