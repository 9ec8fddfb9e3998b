/** Requests wait until there is room for the memory that they need. */
import { describe, expect, test } from 'bun:test';
import { ArgumentError, autocast, isAutocastEnabled, memory, ones, OverloadedError, tidy, type Tensor } from 'castor';
import { admission } from 'castor/serve';
import { onEmulator } from '../setup.ts';

describe('admission', () => {
  test('lets in what fits, in order', async () => {
    const gate = admission({ maxBytes: 10 });
    const events: string[] = [];
    const request = (name: string, bytes: number): Promise<string> =>
      gate.run(bytes, async () => {
        events.push(name);
        expect(gate.stats().bytes).toBeLessThanOrEqual(10);
        await Bun.sleep(2);
        return name;
      });
    const all = [request('a', 6), request('b', 6), request('c', 1), request('d', 10), request('e', 0)];
    await Bun.sleep(0);
    expect(events).toEqual(['a']);
    expect(gate.stats()).toEqual({ running: 1, bytes: 6, queued: 4 });
    expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(events).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(gate.stats()).toEqual({ running: 0, bytes: 0, queued: 0 });
  });
  test.if(!onEmulator)('bounds the memory of many requests', async () => {
    memory.collect();
    const before = memory.stats().liveBytes;
    memory.resetPeak();
    const gate = admission({ maxBytes: 12e6 });
    const request = (): Promise<number> =>
      gate.run(4e6, () =>
        tidy(async () => {
          const kept: Tensor[] = Array.from({ length: 4 }, () => ones([250_000]));
          await Bun.sleep(1);
          return kept.reduce((sum, t) => sum + t.numel, 0);
        }),
      );
    await Promise.all(Array.from({ length: 40 }, request));
    expect(memory.peak() - before).toBeLessThanOrEqual(12e6);
  });
  test('goes on after a request that fails', async () => {
    const gate = admission({ maxBytes: 1 });
    const failing = gate.run(1, () => {
      throw new Error('broken');
    });
    const next = gate.run(1, () => 5);
    await expect(failing).rejects.toThrow('broken');
    expect(await next).toBe(5);
  });
  test('refuses more than may wait', async () => {
    const gate = admission({ maxBytes: 1, maxQueue: 1 });
    const first = gate.run(1, () => Bun.sleep(5));
    const second = gate.run(1, () => 2);
    const third = gate.run(1, () => 3);
    await expect(third).rejects.toThrow(OverloadedError);
    await third.catch((error: OverloadedError) => expect([error.waiting, error.limit]).toEqual([1, 1]));
    await first;
    expect(await second).toBe(2);
  });
  test('forgets who gives up, also before it begins', async () => {
    const gate = admission({ maxBytes: 4 });
    const first = gate.run(3, () => Bun.sleep(5));
    const controller = new AbortController();
    const second = gate.run(4, () => 2, { signal: controller.signal });
    const third = gate.run(1, () => 3);
    controller.abort(new Error('gone'));
    await expect(second).rejects.toThrow('gone');
    expect(await third).toBe(3);
    expect(gate.stats()).toMatchObject({ running: 1, queued: 0 });
    await first;
    await expect(gate.run(1, () => 1, { signal: AbortSignal.abort(new Error('late')) })).rejects.toThrow('late');
    expect(gate.stats()).toEqual({ running: 0, bytes: 0, queued: 0 });
  });
  test('runs under the modes of the request', async () => {
    const gate = admission({ maxBytes: 1 });
    const first = gate.run(1, () => Bun.sleep(2));
    const second = autocast({ dtype: 'bfloat16' }, () => gate.run(1, () => isAutocastEnabled()));
    const third = gate.run(1, () => isAutocastEnabled());
    expect(await Promise.all([second, third, first])).toEqual([true, false, undefined]);
  });
  test('refuses what makes no sense', async () => {
    for (const given of [{ maxBytes: 0 }, { maxBytes: NaN }, { maxBytes: 1, maxQueue: -1 }])
      expect(() => admission(given)).toThrow(ArgumentError);
    expect(() => admission({} as never)).toThrow(ArgumentError);
    const gate = admission({ maxBytes: 10 });
    for (const bytes of [11, -1, NaN]) await expect(gate.run(bytes, () => 1)).rejects.toThrow(ArgumentError);
  });
});
