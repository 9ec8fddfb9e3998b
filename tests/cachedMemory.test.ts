/**
 * The memory that the CPU keeps for later tensors (cpu/memory.cpp), in blocks of eight sizes between two powers of two.
 */
import { describe, expect, test } from 'bun:test';
import { memory } from 'castor';
import { native } from '../runtime/ffi/library.ts';
import { MEASURES_MEMORY, unlessEmulated } from './processor.ts';
import { printed } from './process.ts';
import { onEmulator } from './setup.ts';

const MiB = 2 ** 20;
const stats = new Float64Array(new ArrayBuffer(128));
function cached(): number {
  expect(native.castor_memory(0, stats)).toBe(0);
  return stats[3]!;
}
const allocate = (bytes: number): number => {
  const handle = native.castor_alloc(0, bytes);
  expect(handle).not.toBe(0);
  return handle;
};
/** The smallest block size for a number of bytes: 1 to 8 times 64 bytes, or 9 to 16 times a power of two of these. */
function blockOf(bytes: number): number {
  let unit = 64;
  while (16 * unit < bytes) unit *= 2;
  return Math.max(1, Math.ceil(bytes / unit)) * unit;
}
const sizes = [0, 1, 2, 63, 64, 65, 448, 449, 511, 512, 513, 575, 576, 577, 1023, 1024, 1025, 1151, 1152, 1153, 4096]
  .concat([65535, 65536, 65537, 73728, 73729, MiB - 1, MiB, MiB + 1, 9 * 2 ** 17, 3 * MiB, 4 * MiB, 5 * MiB + 1])
  .concat([2 ** 24 + 1, 2 ** 26]);

describe.if(!onEmulator)('a freed block', () => {
  test.each(sizes)('of %d bytes is kept, and taken by the next that fits', bytes => {
    native.castor_memory_release_cached(0);
    const before = cached();
    const first = allocate(bytes);
    expect(cached() - before).toBe(0);
    native.castor_free(first);
    const size = blockOf(bytes);
    expect(cached() - before).toBe(size);
    const again = allocate(size);
    expect(cached() - before).toBe(0);
    native.castor_free(again);
    expect(cached() - before).toBe(size);
    const larger = allocate(size + 1);
    expect(cached() - before).toBe(size);
    native.castor_free(larger);
    native.castor_memory_release_cached(0);
    expect(cached()).toBe(0);
  });
  test('has memory of its own, whatever the sizes of those before', () => {
    const host = new Uint8Array(new ArrayBuffer(2 * MiB));
    for (let round = 0; round < 3; round++) {
      const blocks = sizes
        .filter(bytes => bytes <= 2 * MiB)
        .map((bytes, i) => ({ bytes, value: i + 1, handle: allocate(bytes) }));
      for (const { bytes, value, handle } of blocks)
        expect(native.castor_write(handle, 0, host.fill(value), bytes)).toBe(0);
      for (const { bytes, value, handle } of blocks) {
        host.fill(0);
        expect(native.castor_read(handle, 0, host, bytes)).toBe(0);
        expect(host.subarray(0, bytes).every(byte => byte === value)).toBe(true);
      }
      for (const { handle } of round % 2 ? blocks : blocks.toReversed()) native.castor_free(handle);
      if (round === 1) native.castor_memory_release_cached(0);
    }
  });
  unlessEmulated(MEASURES_MEMORY)('of large sizes goes back to the system when it is released', () => {
    const host = new Uint8Array(new ArrayBuffer(64 * MiB)).fill(1);
    const round = (bytes: number): void => {
      const handle = allocate(bytes);
      native.castor_write(handle, 0, host, bytes);
      native.castor_free(handle);
      memory.releaseCached();
    };
    round(64 * MiB);
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 6; i++) for (const bytes of [MiB, 3 * MiB, 64 * MiB, 48 * MiB + 5]) round(bytes);
    expect(process.memoryUsage.rss() - before).toBeLessThan(80 * MiB);
  });
  // 256 MiB more may be cached than was in use at the same time. Where more is, it is trimmed to 64 MiB below that,
  // first the blocks unused for longest.
  test.each([
    [2048, 479 * MiB + 2048],
    [2 * MiB, 480 * MiB],
  ])('of %d bytes that is too many for the cache leaves %d bytes in it', (bytes, left) => {
    memory.releaseCached();
    for (const handle of Array.from({ length: 256 }, () => allocate(MiB))) native.castor_free(handle);
    native.castor_free(allocate(288 * MiB));
    expect(cached()).toBe((256 + 288) * MiB);
    native.castor_free(allocate(bytes));
    expect(cached()).toBe(left);
    memory.releaseCached();
  });
  test('of one size that is used no more makes room for another', () => {
    memory.releaseCached();
    for (let size = 16; size <= 96; size += 8) {
      const handles = [allocate(size * MiB), allocate(size * MiB)];
      for (const handle of handles) native.castor_free(handle);
    }
    // The cache holds at most as much as was in use at the same time, and 256 MiB more.
    expect(cached()).toBeLessThanOrEqual((2 * 96 + 256) * MiB);
    expect(cached()).toBeGreaterThan(2 * 96 * MiB);
    memory.releaseCached();
  });
});

describe.if(!onEmulator)('memory that nobody uses any more', () => {
  const rss = '(process.memoryUsage.rss() / 2 ** 20)';
  const seconds = { CASTOR_CACHE_SECONDS: '0.2' };
  // Blocks of all sizes; one that is used again and again stays cached.
  const burst = `
    const sizes = Array.from({ length: 3000 }, (_, i) => Math.floor(2 ** (8 + (11 * ((i * 377) % 3000)) / 3000)));
    const burst = () => c.tidy(() => { for (const n of sizes) c.ones([n]); for (let i = 0; i < 20; i++) c.ones([1e6]); });
    const used = () => c.tidy(() => void c.ones([2 ** 19]));
    const before = ${rss};`;
  unlessEmulated(MEASURES_MEMORY)('goes back to the system after a while', async () => {
    const lines = await printed(
      `${burst} burst();
       print(${rss} - before > 300, c.memory.stats().cachedBytes > 300e6);
       for (let i = 0; i < 300 && c.memory.stats().cachedBytes > 5e6; i++) { used(); await Bun.sleep(20); }
       used(); used();
       print(c.memory.stats().cachedBytes >= 2 ** 21, ${rss} - before < 64);`,
      seconds,
    );
    expect(lines).toEqual(['true true', 'true true']);
  });
  unlessEmulated(MEASURES_MEMORY)(
    'goes back at once when it is released, also between small blocks in use',
    async () => {
      const lines = await printed(`${burst} burst();
      const small = Array.from({ length: 2000 }, () => [c.ones([3000]), c.ones([300])][1]);
      c.memory.collect(); c.memory.releaseCached();
      print(small.length, c.memory.stats().cachedBytes, ${rss} - before < 64);`);
      expect(lines).toEqual(['2000 0 true']);
    },
  );
  unlessEmulated(MEASURES_MEMORY)('as the temporary memory of kernels goes back too', async () => {
    const lines = await printed(`
      const before = ${rss};
      const x = c.randn([2 ** 23]);
      c.tidy(() => void x.sort(0));
      const w = c.randn([2000, 2000]);
      c.tidy(() => void w.matmul(w));
      x.dispose(); w.dispose();
      c.memory.releaseCached();
      print(${rss} - before < 40);`);
    expect(lines).toEqual(['true']);
  });
});

test.if(!onEmulator)('more memory than there is fails at once, and leaves what was cached', () => {
  for (const bytes of [2 ** 45, 2 ** 50, 2 ** 52]) {
    expect(native.castor_alloc(0, bytes)).toBe(0);
    expect(native.castor_last_status()).toBe(6);
    expect(native.castor_last_error()).toMatch(
      /^alloc: wanted .* are live in \d+ storages, the limit is not set, .* of .* are free$/,
    );
  }
  const small = allocate(1000);
  native.castor_free(small);
});

/** The places in the table of storages (abi/storage.h). A handle is its place and a multiple of this. */
const PLACES = 2 ** 24;
test.each([8, 1024, 1025, MiB])('a storage of %d bytes leaves its place in the table to the next', bytes => {
  const first = allocate(bytes);
  native.castor_free(first);
  const second = allocate(bytes);
  native.castor_free(second);
  expect(second).not.toBe(first);
  expect(second % PLACES).toBe(first % PLACES);
});
