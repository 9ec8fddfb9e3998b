import { readFileSync } from 'node:fs';

/** The platforms that have a package with the native library, and what each is told by in npm's terms. */
export const PLATFORMS = {
  'linux-x64-glibc': { os: 'linux', cpu: 'x64', libc: 'glibc' },
  'linux-x64-musl': { os: 'linux', cpu: 'x64', libc: 'musl' },
  'linux-arm64-glibc': { os: 'linux', cpu: 'arm64', libc: 'glibc' },
  'darwin-arm64': { os: 'darwin', cpu: 'arm64' },
} as const satisfies Record<string, { os: string; cpu: string; libc?: string }>;
export type Platform = keyof typeof PLATFORMS;

/** The package of a platform. The one with the CUDA backend is not installed by itself. */
export const packageOf = (platform: string): string => `@castor/${platform}`;
export const CUDA_PLATFORM = 'linux-x64-cuda13';

/**
 * The C library that this process runs with, on Linux. The packages that are installed do not tell: Deno installs those
 * of both.
 */
function libc(): string {
  const { Deno } = globalThis as { Deno?: { build: { target: string } } };
  if (Deno) return Deno.build.target.includes('musl') ? 'musl' : 'glibc';
  return /ld-musl-/.test(mappedFiles()) ? 'musl' : 'glibc';
}

/** Without /proc, as in a sandbox, nothing is known. */
function mappedFiles(): string {
  try {
    return readFileSync('/proc/self/maps', 'latin1');
  } catch {
    return '';
  }
}

/** The platform of this process, whether there is a package for it or not: linux-x64-glibc, darwin-arm64, win32-x64. */
export function currentPlatform(): string {
  const name = `${process.platform}-${process.arch}`;
  return process.platform === 'linux' ? `${name}-${libc()}` : name;
}
