/** How the library of each platform package is compiled. runtime/ffi/platform.ts says which platforms there are. */
export interface Platform {
  /** The end of the package's name, and the folder of the build below build/platforms. */
  readonly name: string;
  readonly cpu: 'x64' | 'arm64';
  /** Zig's name of the platform, with the oldest glibc that the library needs. Without it the compiler of this machine builds. */
  readonly target?: string;
  /** The newest version of glibc whose symbols the library may use; null for musl and macOS. */
  readonly glibc: string | null;
  /** The oldest macOS that the library is for. */
  readonly macos?: string;
  /** CMake's names for the system and the processor, where it compiles for another one than that of this machine. */
  readonly cmake?: readonly [system: string, processor: string];
}

/**
 * The oldest runtimes need glibc 2.17 (Bun), 2.27 (Deno) and 2.28 (Node), so nothing is gained below 2.17. Bun needs macOS 13. nvcc calls
 * the compiler of this machine, whose static C++ library needs the glibc of its own time.
 */
export const platforms: readonly Platform[] = [
  { name: 'linux-x64-glibc', cpu: 'x64', target: 'x86_64-linux-gnu.2.17', glibc: '2.17' },
  { name: 'linux-x64-musl', cpu: 'x64', target: 'x86_64-linux-musl', glibc: null },
  {
    name: 'linux-arm64-glibc',
    cpu: 'arm64',
    target: 'aarch64-linux-gnu.2.17',
    glibc: '2.17',
    cmake: ['Linux', 'aarch64'],
  },
  {
    name: 'darwin-arm64',
    cpu: 'arm64',
    target: 'aarch64-macos.13.0',
    glibc: null,
    macos: '13.0',
    cmake: ['Darwin', 'arm64'],
  },
  { name: 'linux-x64-cuda13', cpu: 'x64', glibc: '2.35' },
];

/** Is the library compiled by the compilers of this machine, as that of `npm run build:cuda` is? */
export const isOfThisMachine = ({ target }: Platform): boolean => target === undefined;
