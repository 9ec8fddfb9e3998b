import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { deviceInfo, isAvailable, manualSeed, memory, Tensor, tidy, type Device } from 'castor';
import { compareArrays, type Tolerance } from './reference/compare.ts';
import type { Nested } from 'castor';

/**
 * The time limit of a test in milliseconds. It is generous, because test machines are busy. CASTOR_TEST_LIMIT sets
 * another limit.
 */
const limit = Number(process.env.CASTOR_TEST_LIMIT ?? (process.env.CASTOR_EMULATOR_SEED ? 300_000 : 60_000));
setDefaultTimeout(limit);
/** A Bun behind an emulator or another loader. The processes that tests start must run in it too. */
if (process.env.CASTOR_TEST_BUN) process.execPath = process.env.CASTOR_TEST_BUN;
/**
 * Bun takes back what setDefaultTimeout() said when a test file ends, and evaluates this file once for all test files of a run. So each
 * test file is given the call as it is loaded: on its first line, so that its lines keep their numbers.
 */
Bun.plugin({
  name: 'time limit of every test file',
  setup(build) {
    build.onLoad({ filter: /\.test\.ts$/ }, async ({ path }) => ({
      loader: 'ts',
      contents: `(await import('bun:test')).setDefaultTimeout(${limit}); ${await Bun.file(path).text()}`,
    }));
  },
});

const present: readonly Device[] = isAvailable('cuda') ? ['cpu', 'cuda'] : ['cpu'];
/** The devices that CASTOR_TEST_DEVICES names, with commas between them, or all that are present. */
function asked(): readonly Device[] {
  const names = process.env.CASTOR_TEST_DEVICES?.split(',');
  const missing = names?.find(name => !present.includes(name as Device));
  if (missing !== undefined)
    throw new Error(`CASTOR_TEST_DEVICES names '${missing}', which is none of ${present.join(', ')}`);
  return (names as Device[] | undefined) ?? present;
}
/** Whether the CUDA device is the emulator. It is hundreds of times slower than the CPU kernels. */
export const onEmulator = present.includes('cuda') && deviceInfo('cuda').emulated === true;
/**
 * The devices that tests run on. With the emulator this is only `cuda`: the CPU kernels are the same as in every build,
 * and tested in other runs.
 */
export const devices: readonly Device[] = onEmulator && !process.env.CASTOR_TEST_DEVICES ? ['cuda'] : asked();
/** A number of elements, steps or rounds, smaller on the emulator. */
export const sized = (full: number, onEmulatorOnly: number): number => (onEmulator ? onEmulatorOnly : full);

/** A test whose tensors are all freed when it ends. */
export const tidyTest = (name: string, fn: () => void | Promise<void>): void => test(name, () => tidy(fn));
/** The number of storages that are alive on the CPU, or on another device. */
export const liveStorages = (device?: Device): number => memory.stats(device).liveStorages;

type Values = Tensor | ArrayLike<number | bigint> | Nested;

declare module 'bun:test' {
  interface Matchers<T> {
    /**
     * Checks that shapes are equal (if the expected value has one) and that no element differs by more than atol + rtol
     * * |expected|.
     */
    toBeAllclose(expected: Values, tolerance?: Tolerance): void;
  }
}

function flat(values: Values): ArrayLike<number | bigint> {
  if (values instanceof Tensor) return values.dataSync();
  if (ArrayBuffer.isView(values)) return values as Float64Array;
  return (Array.isArray(values) ? (values as unknown[]).flat(Infinity) : [values]).map(Number);
}

function shapeOf(values: Values): readonly number[] | null {
  if (values instanceof Tensor) return values.shape;
  if (!Array.isArray(values)) return null;
  const shape: number[] = [];
  for (let level: unknown = values; Array.isArray(level); level = level[0]) shape.push(level.length);
  return shape;
}

expect.extend({
  toBeAllclose(actual: unknown, expected: unknown, tolerance: Tolerance = {}) {
    const shapes = [shapeOf(actual as Values), shapeOf(expected as Values)];
    const alike = shapes.includes(null) || String(shapes[0]) === String(shapes[1]);
    const difference = alike
      ? compareArrays(flat(actual as Values), flat(expected as Values), tolerance)
      : `shape [${shapes[0]}], expected [${shapes[1]}]`;
    return { pass: difference === null, message: () => difference ?? 'all elements are close' };
  },
});

let liveBefore: readonly number[];
const live = (): number[] => present.map(liveStorages);
/** The storages that there are more than before the tests, on each device. Some of those from before may be gone. */
const added = (): number[] => live().map((count, i) => Math.max(0, count - liveBefore[i]!));

/** Overwrites the stack, because the collector takes leftovers of old calls there for references. */
const overwriteStack = (depth: number): number => (depth === 0 ? 0 : 1 + overwriteStack(depth - 1));

/** Lets promises settle and overwrites the stack, then frees everything that nothing refers to. */
async function settle(milliseconds = 1): Promise<void> {
  await Bun.sleep(milliseconds);
  overwriteStack(1000);
  memory.collect();
}

beforeAll(async () => {
  manualSeed(0);
  await settle();
  liveBefore = live();
});

afterAll(async () => {
  await settle();
  for (let i = 1; i <= 50 && added().some(count => count > 0); i++) await settle(i);
  expect(added(), `storages that live on after the tests, on ${present.join(', ')}`).toEqual(present.map(() => 0));
});
