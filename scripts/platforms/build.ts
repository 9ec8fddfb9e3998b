/** Compiles the library for a platform: with Zig's C++ compiler, which brings its own C library for each one, or with nvcc. */
import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { findToolkit, installToolkit, notFound } from '../cudaToolkit.ts';
import { build, findTools, root, run, say } from '../native.ts';
import { caches, download } from '../wheels.ts';
import type { Platform } from './table.ts';

const ZIG = '0.17.1';
const zigFolder = join(caches, `zig-${ZIG}`);

type Variables = Readonly<Record<string, string>>;
interface Recipe {
  readonly compiler: string;
  readonly variables: Variables;
  readonly env: Variables;
}

/**
 * ccache compares compilers by their name and size, which here are those of a script, so it is told the version. The
 * compiler describes only what is shipped, so it writes nothing for debuggers.
 */
async function withZig(target: string, [system, processor]: readonly string[]): Promise<Recipe> {
  await download(`Zig ${ZIG}`, zigFolder, [`ziglang==${ZIG}`], say);
  return {
    compiler: join(root, 'scripts/platforms/zigcxx.sh'),
    variables: {
      CMAKE_CXX_FLAGS: `-target ${target} -g0`,
      ...(system && processor ? { CMAKE_SYSTEM_NAME: system, CMAKE_SYSTEM_PROCESSOR: processor } : {}),
    },
    env: {
      CASTOR_ZIG: join(zigFolder, 'ziglang/zig'),
      CCACHE_COMPILERCHECK: `string:Zig ${ZIG}`,
      CCACHE_COMPILERTYPE: 'clang',
    },
  };
}

async function withNvcc(): Promise<Recipe> {
  if (!findToolkit().found) await installToolkit(say);
  const search = findToolkit();
  if (!search.found) throw new Error(notFound('nvcc', search));
  const { compiler } = findTools();
  const variables = {
    CASTOR_CUDA: 'ON',
    CASTOR_CUDA_ARCH: 'release',
    CASTOR_WERROR: 'ON',
    CMAKE_CUDA_COMPILER: search.found.nvcc,
    CMAKE_CUDA_HOST_COMPILER: compiler,
  };
  return { compiler, variables, env: {} };
}

async function must(command: readonly string[], env: Variables): Promise<void> {
  const lines: string[] = [];
  if (!(await run(command, line => void lines.push(line), { ...process.env, ...env })))
    throw new Error(`${command.slice(0, 2).join(' ')} failed\n${lines.slice(-60).join('\n')}`);
}

/** Compiles what has changed since the last time, and returns the path of the stripped library. */
export async function compile(platform: Platform): Promise<string> {
  const { target, cmake = [] } = platform;
  const { compiler, variables, env } = await (target === undefined ? withNvcc() : withZig(target, cmake));
  const folder = join(build, 'platforms', platform.name, target === undefined ? 'nvcc' : `zig-${ZIG}`);
  mkdirSync(folder, { recursive: true });
  // CMake starts from the beginning if it is told of a compiler that it knows already.
  const first = existsSync(join(folder, 'CMakeCache.txt')) ? {} : { CMAKE_CXX_COMPILER: compiler };
  const all = { ...variables, ...first, CMAKE_SHARED_LINKER_FLAGS: '-s' };
  const defined = Object.entries(all).map(([key, value]) => `-D${key}=${value}`);
  await must(['cmake', '-S', root, '-B', folder, '-G', findTools().generator, ...defined], env);
  await must(['cmake', '--build', folder, '--target', 'castor', '-j', String(availableParallelism())], env);
  return join(folder, 'libcastor.so');
}
