/** Says what is wrong with a library that is to be published for a platform. */
import { symbols } from '../../runtime/ffi/symbols.ts';
import { libraryFacts, libraryFaults, type LibraryFacts } from '../release/library.ts';
import type { Platform } from './table.ts';

/** Names of processors as readelf prints them. */
const machines = { x64: 'Advanced Micro Devices X86-64', arm64: 'AArch64' };

/** Each thing that is wrong with a library, in words. */
export function faultsOf(facts: LibraryFacts, platform: Platform): string[] {
  const { name, cpu, glibc, macos = null } = platform;
  const isForLinux = name.startsWith('linux-');
  return [
    ...libraryFaults(facts, Object.keys(symbols), glibc),
    ...((facts.system === 'Linux') === isForLinux ? [] : [`it is for ${facts.system}`]),
    ...(facts.machine === machines[cpu] ? [] : [`it is for ${facts.machine}, not for ${cpu}`]),
    ...(facts.stripped ? [] : ['it is not stripped']),
    ...(glibc === null && facts.glibc !== null ? [`it needs glibc ${facts.glibc}, which ${name} is without`] : []),
    ...(glibc !== null && facts.glibc === null ? ['it names no version of glibc'] : []),
    ...(facts.macos === macos ? [] : [`it is for macOS ${facts.macos}, and should be for ${macos}`]),
  ];
}

/** @throws Error if the library in a file is not fit to be published for a platform */
export function checkLibrary(file: string, platform: Platform): LibraryFacts {
  const facts = libraryFacts(file);
  const faults = faultsOf(facts, platform);
  if (faults.length > 0) throw new Error(`${file} is not fit for ${platform.name}: ${faults.join('; ')}`);
  return facts;
}
