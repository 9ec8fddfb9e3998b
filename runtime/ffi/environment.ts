import { LibraryError } from '../errors.ts';
import { shown } from '../shown.ts';

/** The largest number of threads that the library uses (cpu/threads.cpp). */
export const MAX_THREADS = 1024;
/** The instruction sets that the CPU kernels are compiled for, narrowest first. The last two add units for matrix products. */
export const ISAS = ['generic', 'avx2', 'avx512', 'avx512bf16', 'amx'];

type Environment = Readonly<Record<string, string | undefined>>;

type Warn = (text: string) => void;

/**
 * Checks the environment variables that the library reads. The library itself uses the default for a value that it does
 * not understand, without a message.
 * @param isa returns the instruction set that the library has chosen
 * @throws LibraryError for a value that is not valid
 */
export function checkEnvironment(environment: Environment, isa: () => string, warn: Warn): void {
  checkThreads(environment.CASTOR_NUM_THREADS, warn);
  checkIsa(environment.CASTOR_ISA, isa, warn);
  checkCacheSeconds(environment.CASTOR_CACHE_SECONDS);
}

function checkCacheSeconds(text: string | undefined): void {
  if (text === undefined || text === '') return;
  if (text.trim() === '' || !(Number(text) > 0))
    throw new LibraryError(`CASTOR_CACHE_SECONDS is ${shown(text)}, which is not a number of seconds`, {
      advice: 'Set it to a number above 0, or unset it to give memory back that was not used for 4 seconds',
    });
}

function checkThreads(text: string | undefined, warn: Warn): void {
  if (text === undefined || text === '') return;
  const count = text.trim() === '' ? NaN : Number(text);
  if (!Number.isInteger(count) || count < 1)
    throw new LibraryError(`CASTOR_NUM_THREADS is ${shown(text)}, which is not a number of threads`, {
      advice: `Set it to a whole number from 1 to ${MAX_THREADS}, or unset it to use all processors`,
    });
  if (count > MAX_THREADS)
    warn(`CASTOR_NUM_THREADS is ${shown(text)}: ${MAX_THREADS} threads are used, the most there can be`);
}

function checkIsa(wanted: string | undefined, isa: () => string, warn: Warn): void {
  if (wanted === undefined || wanted === '') return;
  if (!ISAS.includes(wanted))
    throw new LibraryError(`CASTOR_ISA is ${shown(wanted)}, which is not an instruction set`, {
      advice: `Set it to one of ${ISAS.join(', ')}, or unset it to use the fastest that the machine has`,
    });
  const chosen = isa();
  if (chosen !== wanted)
    warn(`CASTOR_ISA is '${wanted}', which this machine or library does not have: ${chosen} is used`);
}
