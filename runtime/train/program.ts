import { callable, checked, text } from '../arguments.ts';
import { CastorError } from '../errors.ts';
import { helpText, optionTable, parseOptions, type OptionTable, type OptionValues } from './options.ts';

/**
 * Runs a command line program: reads its options and answers --help. An error that a user can cause (a CastorError, a
 * file that cannot be read or written) is printed in one line on stderr, and the exit code is 1. Any other error is a
 * bug and keeps its stack.
 */
export const program = checked('train.program', { usage: text, table: optionTable, main: callable }, doProgram);
async function doProgram<S extends OptionTable>(
  usage: string,
  table: S,
  main: (options: OptionValues<S>) => Promise<void>,
): Promise<void> {
  try {
    const options = parseOptions(table, process.argv.slice(2));
    if (options === null) console.log(helpText(usage, table));
    else await main(options);
  } catch (error) {
    if (!(error instanceof CastorError) && !isSystemError(error)) throw error;
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}

const isSystemError = (error: unknown): error is Error =>
  error instanceof Error && 'syscall' in error && typeof error.syscall === 'string';

/**
 * From now on Ctrl+C (or SIGTERM) only requests an end, which a loop can check between two steps. A second one ends the
 * process.
 */
export const interruption = checked('train.interruption', {}, doInterruption);
function doInterruption(): { readonly wanted: boolean } {
  const state = { wanted: false };
  const ask = (): void => {
    state.wanted = true;
    process.off('SIGINT', ask).off('SIGTERM', ask);
  };
  process.on('SIGINT', ask).on('SIGTERM', ask);
  return state;
}
