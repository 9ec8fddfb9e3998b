/** Says what is wrong with a library that is to be published for a platform. */
import { symbols } from '../../runtime/ffi/symbols.ts';
import { libraryFacts, libraryFaults, readelf, type LibraryFacts } from '../release/library.ts';
import type { Platform } from './table.ts';

/** Names of processors as readelf prints them. */
const machines = { x64: 'Advanced Micro Devices X86-64', arm64: 'AArch64' };

/** What the header of a library says of the machine that it is for, and whether symbols for debuggers were left in it. */
export interface Header {
  readonly machine: string;
  readonly stripped: boolean;
}

function headerOf(file: string): Header {
  const sections = readelf(file, '-S');
  return {
    machine: /Machine: *(.*)/.exec(readelf(file, '-h'))?.[1] ?? 'unknown',
    stripped: !/ \.(symtab|debug_\w+) /.test(sections),
  };
}

/** Each thing that is wrong with a library, in words. */
export function faultsOf(facts: LibraryFacts, { machine, stripped }: Header, platform: Platform): string[] {
  const { cpu, glibc } = platform;
  return [
    ...libraryFaults(facts, Object.keys(symbols), glibc),
    ...(machine === machines[cpu] ? [] : [`it is for ${machine}, not for ${cpu}`]),
    ...(stripped ? [] : ['it is not stripped']),
    ...(glibc === null && facts.glibc !== null ? [`it needs glibc ${facts.glibc}, which musl is not`] : []),
    ...(glibc !== null && facts.glibc === null ? ['it names no version of glibc'] : []),
  ];
}

/** @throws Error if the library in a file is not fit to be published for a platform */
export function checkLibrary(file: string, platform: Platform): LibraryFacts {
  const facts = libraryFacts(file);
  const faults = faultsOf(facts, headerOf(file), platform);
  if (faults.length > 0) throw new Error(`${file} is not fit for ${platform.name}: ${faults.join('; ')}`);
  return facts;
}
