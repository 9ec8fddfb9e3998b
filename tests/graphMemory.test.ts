/**
 * The memory of graphs (abi/memory_pool.cpp): segments are divided into blocks, and freed blocks are merged with their
 * neighbours.
 */
import { describe, expect, test } from 'bun:test';
import { native } from '../runtime/ffi/library.ts';
import { describe as writeView } from '../runtime/ffi/view.ts';
import { Dice } from './dice.ts';
import { MEASURES_MEMORY, unlessEmulated } from './processor.ts';
import { onEmulator } from './setup.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const stats = new Float64Array(new ArrayBuffer(128));
/** The live bytes, and the bytes that graphs keep besides them. */
function bytes(): [live: number, kept: number] {
  expect(native.castor_memory(0, stats)).toBe(0);
  return [stats[0]!, stats[9]!];
}
const allocate = (size: number): number => {
  const handle = native.castor_alloc(0, size);
  expect(handle).not.toBe(0);
  return handle;
};
const free = (handle: number): void => expect(native.castor_free(handle)).toBe(0);

/** Captures a function, and returns the graph and the function's result. */
function captured<T>(fn: () => T): [graph: number, result: T] {
  expect(native.castor_capture_begin(0, 1, 0)).toBe(0);
  const result = fn();
  const graph = native.castor_capture_end(0);
  expect(graph).not.toBe(0);
  return [graph, result];
}
const release = (graph: number): void => expect(native.castor_graph_free(graph)).toBe(0);
const fill = (handle: number, count: number, value: number): void =>
  expect(
    native.castor_fill(
      writeView(0, { storage: { handle }, offset: 0, info: { code: 0 }, shape: [count], strides: [1] }),
      value,
    ),
  ).toBe(0);
/** The value of all elements of a storage of floats, if they are equal. */
function valueOf(handle: number, count: number): number | string {
  const host = new Float32Array(new ArrayBuffer(count * 4));
  expect(native.castor_read(handle, 0, host, count * 4)).toBe(0);
  return host.every(v => v === host[0]) ? host[0]! : `${host[0]} and ${host.find(v => v !== host[0])}`;
}

// The device of the emulator uses the pools of the GPU, whose segments have other sizes.
describe.if(!onEmulator)('a graph keeps', () => {
  const tables: [what: string, sizes: number[], freed: number[], then: number[], kept: number][] = [
    ['nothing for nothing', [], [], [], 0],
    ['a small segment for a byte', [1], [], [], 2 * MiB - 512],
    ['a small segment for a unit', [512], [], [], 2 * MiB - 512],
    ['a small segment for more than a unit', [513], [], [], 2 * MiB - 1024],
    ['a small segment below a MiB', [MiB - 512], [], [], MiB + 512],
    ['one small segment for all that fit', Array<number>(16).fill(128 * KiB), [], [], 0],
    ['two small segments for one more', Array<number>(17).fill(128 * KiB), [], [], 2 * MiB - 128 * KiB],
    ['a large segment from a MiB on', [MiB], [], [], 19 * MiB],
    ['a large segment just below a MiB', [MiB - 511], [], [], 19 * MiB],
    ['one large segment for all that fit', Array<number>(4).fill(5 * MiB), [], [], 0],
    ['two large segments for one more', Array<number>(5).fill(5 * MiB), [], [], 15 * MiB],
    ['a large segment up to 8 MiB', [8 * MiB], [], [], 12 * MiB],
    ['a segment of its own for more', [9 * MiB + 512], [], [], 0],
    ['a segment of its own from 10 MiB on', [10 * MiB], [], [], 0],
    ['no rest of less than a MiB', [12 * MiB + 512 * KiB + MiB - 512], [], [], 0],
    ['a rest of a MiB', [13 * MiB], [], [], MiB],
    ['no rest of a large segment below a MiB', [8 * MiB, 8 * MiB, 3 * MiB + 512 * KiB], [], [], 0],
    ['what was freed', [5 * MiB, 5 * MiB], [0, 1], [], 20 * MiB],
    ['the joined blocks, forwards', Array<number>(4).fill(5 * MiB), [0, 1, 2, 3], [18 * MiB], 2 * MiB],
    ['the joined blocks, backwards', Array<number>(4).fill(5 * MiB), [3, 2, 1, 0], [18 * MiB], 2 * MiB],
    ['the joined blocks, from both sides', Array<number>(4).fill(5 * MiB), [0, 2, 3, 1], [19.5 * MiB], 0],
    ['two of four blocks, joined', Array<number>(4).fill(5 * MiB), [1, 2], [10 * MiB], 0],
    ['no joined blocks where one lies between', Array<number>(4).fill(5 * MiB), [0, 2], [10 * MiB], 10 * MiB],
    ['small blocks, joined', Array<number>(16).fill(128 * KiB), [5, 4, 6, 7, 3], [640 * KiB], 0],
    ['a block of a wider class', [MiB, 3 * MiB, MiB, 2 * MiB, MiB], [1, 3], [2 * MiB, 3 * MiB], 12 * MiB],
  ];
  test.each(tables)('%s', (_, sizes, freed, then, kept) => {
    const before = bytes();
    const [graph, handles] = captured(() => {
      const made = sizes.map(allocate);
      for (const i of freed) free(made[i]!);
      return [...made.filter((_, i) => !freed.includes(i)), ...then.map(allocate)];
    });
    expect(bytes()[1] - before[1]).toBe(kept);
    for (const handle of handles) free(handle);
    release(graph);
    expect(bytes()).toEqual(before);
  });
});

/**
 * The bytes kept after a block of 33 units and then `others` of 32 units, of the same size class, were freed in a full
 * segment, and 33 units were allocated.
 */
function keptAfter(others: number): number {
  const unit = 512;
  const before = bytes();
  const [graph, handles] = captured(() => {
    const block = allocate(33 * unit);
    const between = [allocate(unit)];
    const smaller = Array.from({ length: others }, () => {
      const handle = allocate(32 * unit);
      between.push(allocate(unit));
      return handle;
    });
    const rest = 4096 - 34 - 33 * others;
    for (const units of [rest >> 1, rest - (rest >> 1)]) between.push(allocate(units * unit));
    expect(bytes()[1] - before[1]).toBe(0);
    for (const handle of [block, ...smaller]) free(handle);
    return [...between, allocate(33 * unit)];
  });
  const kept = bytes()[1] - before[1];
  for (const handle of handles) free(handle);
  release(graph);
  expect(bytes()).toEqual(before);
  return kept;
}

describe.if(!onEmulator)('storages of a graph', () => {
  test('take the one block that is large enough among the sixteen of their size class that were freed last', () => {
    expect(keptAfter(15)).toBe(15 * 32 * 512);
    expect(keptAfter(16)).toBe(2 * MiB + 16 * 32 * 512);
  });
  // A block of exactly the size, one of the same size class that is larger, and one of a wider size class.
  test.each([20, 65.25, 21.25])('that are freed one after the other, of %d MiB each, take one segment', size => {
    const before = bytes();
    const [graph] = captured(() => {
      for (let round = 0; round < 6; round++) free(allocate(size * MiB));
    });
    expect(bytes()[1] - before[1]).toBe(Math.ceil(size / 2) * 2 * MiB);
    release(graph);
    expect(bytes()).toEqual(before);
  });
  test('never share memory, whatever was freed between', () => {
    for (let seed = 1; seed <= 8; seed++) {
      const dice = new Dice(seed * 977);
      const before = bytes();
      const [graph, live] = captured(() => {
        const live = new Map<number, number>();
        for (let step = 0; step < 250; step++) {
          const handles = [...live.keys()];
          if (handles.length > 0 && dice.below(5) < 2) {
            const handle = dice.pick(handles);
            free(handle);
            live.delete(handle);
            continue;
          }
          const count = dice.pick([1, 3, 100, 128, 129, 1000, 5000, 40_000, 131_072, 262_144, 300_000, 700_000]);
          if (handles.length > 24 && count > 5000) continue;
          const handle = allocate(count * 4);
          fill(handle, count, step + 1);
          live.set(handle, count);
          // Later writes must not reach this storage: it is written again only here.
          if (dice.below(4) === 0) fill(handle, count, step + 1);
        }
        return live;
      });
      for (let replay = 0; replay < 2; replay++) {
        expect(native.castor_graph_replay(graph, 1, 0)).toBe(0);
        const values = [...live].map(([handle, count]) => valueOf(handle, count));
        expect(values.filter(v => typeof v === 'string')).toEqual([]);
        expect(new Set(values).size).toBe(live.size);
      }
      for (const handle of live.keys()) free(handle);
      release(graph);
      expect(bytes()).toEqual(before);
    }
  });
  test('outlive their graph', () => {
    const before = bytes();
    const [graph, handle] = captured(() => {
      const handle = allocate(4000);
      fill(handle, 1000, 7);
      return handle;
    });
    expect(native.castor_graph_replay(graph, 1, 0)).toBe(0);
    release(graph);
    expect(native.castor_graph_replay(graph, 1, 0)).toBe(7);
    expect(valueOf(handle, 1000)).toBe(7);
    fill(handle, 1000, 8);
    expect(valueOf(handle, 1000)).toBe(8);
    free(handle);
    expect(bytes()).toEqual(before);
  });
  test('outlive a capture that is given up', () => {
    const before = bytes();
    expect(native.castor_capture_begin(0, 1, 0)).toBe(0);
    const handle = allocate(4000);
    expect(native.castor_capture_abort(0)).toBe(0);
    fill(handle, 1000, 5);
    expect(valueOf(handle, 1000)).toBe(5);
    free(handle);
    expect(bytes()).toEqual(before);
  });
  unlessEmulated(MEASURES_MEMORY)('give their memory back', () => {
    const round = (): void => {
      const [graph, handles] = captured(() => [40 * MiB, 3 * MiB, 5000].map(allocate));
      for (const handle of handles) fill(handle, 1250, 1);
      fill(handles[0]!, 10 * MiB, 1);
      for (const handle of handles) free(handle);
      release(graph);
    };
    round();
    native.castor_memory_release_cached(0);
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 12; i++) round();
    native.castor_memory_release_cached(0);
    expect(process.memoryUsage.rss() - before).toBeLessThan(120 * MiB);
  });
});
