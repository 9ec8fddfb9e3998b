import { test } from 'bun:test';

/**
 * Whether an emulator of another processor runs this process, as qemu-user does in `npm run test:platforms`. Such an emulator tells 0 for the
 * memory that the process has, which is true of no process.
 */
export const processorEmulated = process.memoryUsage.rss() === 0;
/** A reason for unlessEmulated(). */
export const MEMORY =
  'the memory of the process is that of the emulator as well, which keeps the code that it translates';

/** The function test(), which skips the test where the processor is emulated, and prints the reason. */
export function unlessEmulated(reason: string): ReturnType<typeof test.skipIf> {
  if (processorEmulated) console.log(`A test is skipped on an emulated processor: ${reason}`);
  return test.skipIf(processorEmulated);
}
