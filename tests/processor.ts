import { test } from 'bun:test';

/**
 * Whether an emulator of another processor runs this process, as qemu-user does in `npm run test:platforms`. Such an emulator tells 0 for the
 * memory that the process has, which is true of no process.
 */
export const processorEmulated = process.memoryUsage.rss() === 0;
/** The reason of tests that measure the memory of the process. */
export const MEASURES_MEMORY =
  'it measures the memory of the process, which includes that of the emulator and of the code that it translates';

/** The function test(), which skips the test where the processor is emulated, and prints the reason. */
export function unlessEmulated(reason: string): ReturnType<typeof test.skipIf> {
  if (processorEmulated) console.log(`A test is skipped on an emulated processor: ${reason}`);
  return test.skipIf(processorEmulated);
}
