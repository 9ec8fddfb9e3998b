/** The command line of the check, the paths it uses, and its clock. */
import { join, resolve } from 'node:path';
import { build } from '../native.ts';

const args = process.argv.slice(2);
const flag = (name: string): boolean => args.includes(name);
const option = (name: string): string | undefined => (flag(name) ? args[args.indexOf(name) + 1] : undefined);

/** When scripts/gpuCheck.sh began, in milliseconds: unpacking counts. */
const started = Number(option('--started') ?? Date.now());
export const elapsed = (): number => (Date.now() - started) / 1000;

export const options = {
  help: flag('--help'),
  /** Few cases, few test files and small sizes. */
  short: flag('--short'),
  /** Small sizes of figures and of products: they prove the program and say nothing of the speed. */
  tiny: flag('--tiny') || flag('--short'),
  /** The library and the programs are there already. They are built only if they do not work here. */
  prebuilt: flag('--prebuilt'),
  /** By how much every limit of a part or a command is longer, for a device as slow as the emulator. */
  slow: Number(option('--slow') ?? 1),
  only: option('--only')?.split(','),
  /** Seconds from the start until everything has ended. */
  total: Number(option('--limit') ?? 540),
  out: resolve(option('--from') ?? '.', option('--out') ?? join(build, 'gpu-check')),
};
/** Seconds that are kept for the last report, and for ending what is still running. */
const RESERVE = 8;
export const remaining = (): number => options.total - RESERVE - elapsed();

const programs = join(build, 'kernel_tests');
export const paths = {
  library: join(build, 'libcastor.so'),
  kernelTests: join(programs, 'castor_kernel_tests'),
  /** The list of the files in the pack, with the commit that it was made from. */
  manifest: join(build, 'manifest.json'),
  conformance: join(programs, 'castor_conformance_cuda'),
};
