/** The platforms that a library is published for, one package each. */
export interface Platform {
  /** The end of the package's name, and the folder of the build below build/platforms. */
  readonly name: string;
  readonly os: 'linux' | 'darwin';
  readonly cpu: 'x64' | 'arm64';
  readonly libc?: 'glibc' | 'musl';
  /** The name of the library's file. */
  readonly file: 'libcastor.so' | 'libcastor.dylib';
  /** Zig's name of the platform, with the oldest glibc that the library needs. Without it the compiler of this machine builds. */
  readonly target?: string;
  /** The newest version of glibc whose symbols the library may use. */
  readonly glibc?: string;
  /** Libraries of the system that it may need. */
  readonly needs: readonly string[];
  /** CMake's names for the system and the processor, where it compiles for another one than that of this machine. */
  readonly cmake?: readonly [system: string, processor: string];
  readonly cuda?: true;
}

const glibc = ['libc.so.6', 'libm.so.6', 'libdl.so.2', 'libpthread.so.0', 'librt.so.1'];

/**
 * The oldest runtimes need glibc 2.17 (Bun), 2.27 (Deno) and 2.28 (Node), so nothing is gained below 2.17. nvcc calls the compiler of this
 * machine, whose static C++ library needs the glibc of its own time.
 */
export const platforms: readonly Platform[] = [
  {
    name: 'linux-x64-glibc',
    os: 'linux',
    cpu: 'x64',
    libc: 'glibc',
    file: 'libcastor.so',
    target: 'x86_64-linux-gnu.2.17',
    glibc: '2.17',
    needs: [...glibc, 'ld-linux-x86-64.so.2'],
  },
  {
    name: 'linux-x64-musl',
    os: 'linux',
    cpu: 'x64',
    libc: 'musl',
    file: 'libcastor.so',
    target: 'x86_64-linux-musl',
    needs: ['libc.so'],
  },
  {
    name: 'linux-arm64-glibc',
    os: 'linux',
    cpu: 'arm64',
    libc: 'glibc',
    file: 'libcastor.so',
    target: 'aarch64-linux-gnu.2.17',
    glibc: '2.17',
    needs: [...glibc, 'ld-linux-aarch64.so.1'],
    cmake: ['Linux', 'aarch64'],
  },
  {
    name: 'linux-x64-cuda',
    os: 'linux',
    cpu: 'x64',
    libc: 'glibc',
    file: 'libcastor.so',
    glibc: '2.36',
    needs: [...glibc, 'ld-linux-x86-64.so.2'],
    cuda: true,
  },
];
