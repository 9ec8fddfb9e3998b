/**
 * The number of CPUs and bytes that a machine or a container lets the process use, on simulated machines (machine.c).
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { libraryPath } from '../../runtime/ffi/library.ts';
import { findTools } from '../../scripts/native.ts';
import { onEmulator } from '../setup.ts';

let folder: string;
let program: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-machine-'));
  program = join(folder, 'machine');
  const source = join(import.meta.dirname, 'machine.c');
  const command = [findTools().compiler, '-x', 'c', source, '-o', program, '-rdynamic', '-ldl'];
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(stderr.toString());
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Machine {
  readonly name: string;
  readonly threads: number;
  readonly total: number;
  readonly available: number;
}
const PAGE = 4096;
let made = 0;
/**
 * The values that Castor reports on a machine with 7 CPUs and 4,000,000 pages, half of them free, and with these files.
 */
function machine(files: Record<string, string | number>, settings: Record<string, string> = {}): Machine {
  const root = join(folder, String(made++));
  mkdirSync(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  const { CASTOR_NUM_THREADS: _, ...rest } = process.env;
  const { exitCode, stdout } = Bun.spawnSync([program, libraryPath], {
    env: { ...rest, FAKE_ROOT: root, FAKE_CPUS: '7', FAKE_PAGES: '4000000', FAKE_FREE_PAGES: '2000000', ...settings },
  });
  expect(exitCode).toBe(0);
  const [json, bytes] = stdout.toString().split('\n') as [string, string];
  const { name, threads } = JSON.parse(json) as { name: string; threads: number };
  const [total, available] = bytes.split(' ').map(Number) as [number, number];
  return { name, threads, total, available };
}

const group = '/sys/fs/cgroup';
const own = { '/proc/self/cgroup': '0::/a/b' };
const installed = 4_000_000 * PAGE;
const free = 2_000_000 * PAGE;

// The library with the emulator has the same code.
describe.if(!onEmulator)('a machine', () => {
  test('without limits lets all be used', () => {
    expect(machine({})).toEqual({ name: 'CPU', threads: 7, total: installed, available: free });
    expect(machine({ ...own, [`${group}/a/b/cpu.max`]: 'max 100000', [`${group}/a/b/memory.max`]: 'max' })).toEqual({
      name: 'CPU',
      threads: 7,
      total: installed,
      available: free,
    });
  });
  test('has a name', () => {
    const text = 'processor\t: 0\nvendor_id\t: Fake\nmodel name\t: Fake CPU @ 3\nmodel name\t: another';
    expect(machine({ '/proc/cpuinfo': text }).name).toBe('Fake CPU @ 3');
    expect(machine({ '/proc/cpuinfo': 'processor\t: 0\na model name: x' }).name).toBe('CPU');
  });
  test('says how much memory is available', () => {
    const lines = (kilobytes: number): string => `MemTotal: 9 kB\nMemAvailable:    ${kilobytes} kB\nMemFree: 8 kB`;
    for (const kilobytes of [0, 1, 1234567])
      expect(machine({ '/proc/meminfo': lines(kilobytes) }).available).toBe(1024 * kilobytes);
  });
});

describe.if(!onEmulator)('threads', () => {
  const quotas: [string, number][] = [
    ['150000 100000', 2],
    ['200000 100000', 2],
    ['40000 100000', 1],
    ['1 1', 1],
    ['2000000 100000', 7],
    ['100000 0', 7],
  ];
  test.each(quotas)('of a group with cpu.max %s', (text, threads) => {
    expect(machine({ ...own, [`${group}/a/b/cpu.max`]: text }).threads).toBe(threads);
    expect(machine({ [`${group}/cpu.max`]: text }).threads).toBe(threads);
    expect(machine({ ...own, [`${group}/cpu.max`]: '300000 100000', [`${group}/a/b/cpu.max`]: text }).threads).toBe(
      Math.min(threads, 3),
    );
  });
  const older: [number, number, number][] = [
    [250000, 100000, 3],
    [1, 1, 1],
    [1, 100000, 1],
    [-1, 100000, 7],
    [0, 100000, 7],
    [200000, 0, 7],
  ];
  test.each(older)('of a group of version 1 with a quota of %d in %d', (quota, period, threads) => {
    for (const controller of ['cpu', 'cpu,cpuacct'])
      expect(
        machine({
          '/proc/self/cgroup': `4:memory:/m\n1:${controller}:/c`,
          [`${group}/${controller}/c/cpu.cfs_quota_us`]: quota,
          [`${group}/${controller}/c/cpu.cfs_period_us`]: period,
        }).threads,
      ).toBe(threads);
  });
  test('are as many as the process may run on', () => {
    expect(machine({}, { FAKE_CPUS: '1' }).threads).toBe(1);
    expect(machine({}, { CASTOR_NUM_THREADS: '' }).threads).toBe(7);
    expect(machine({}, { CASTOR_NUM_THREADS: '1' }).threads).toBe(1);
    expect(machine({}, { CASTOR_NUM_THREADS: '1025' }).threads).toBe(1024);
    for (const text of ['0', '-3', '1.5', '2x', 'x']) expect(machine({}, { CASTOR_NUM_THREADS: text }).threads).toBe(7);
  });
});

describe.if(!onEmulator)('memory', () => {
  /** The files of a group of either version. */
  const limits = (version: 1 | 2, limit: number, used: number | null, droppable: number | null) => {
    const at = version === 2 ? `${group}/a/b` : `${group}/memory/a/b`;
    const [most, now, key] =
      version === 2
        ? ['memory.max', 'memory.current', 'inactive_file']
        : ['memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'];
    return {
      '/proc/self/cgroup': version === 2 ? '0::/a/b' : '7:pids:/p\n4:memory:/a/b',
      [`${at}/${most}`]: limit,
      ...(used === null ? {} : { [`${at}/${now}`]: used }),
      ...(droppable === null ? {} : { [`${at}/memory.stat`]: `anon 5\n${key} ${droppable}\nfile 9` }),
    };
  };
  test.each([1, 2] as const)('of a group of version %d', version => {
    const total = 2_000_000_000;
    const rows: [number | null, number | null, number][] = [
      [1_500_000_000, 300_000_000, 800_000_000],
      [1_500_000_000, null, 500_000_000],
      [1_500_000_000, 0, 500_000_000],
      [2_500_000_000, 0, 0],
      [null, 300_000_000, total],
    ];
    for (const [used, droppable, available] of rows) {
      const { total: most, available: left } = machine(limits(version, total, used, droppable));
      expect([most, left]).toEqual([total, available]);
    }
  });
  test('is the least of what all groups and the machine leave', () => {
    const files = { ...limits(2, 3_000_000_000, 1_000_000_000, 0), [`${group}/memory.max`]: 2_000_000_000 };
    expect(machine(files)).toMatchObject({ total: 2_000_000_000, available: 2_000_000_000 });
    const more = { ...files, '/proc/meminfo': 'MemAvailable: 1000 kB' };
    expect(machine(more)).toMatchObject({ total: 2_000_000_000, available: 1_024_000 });
    expect(machine(limits(2, 2 ** 50, 0, 0))).toMatchObject({ total: installed, available: free });
  });
});
