/**
 * Rules for kernel files, by which g++ can run them as well as nvcc, with any block size, and without a wait for the
 * device.
 */
import { describe, expect, test } from 'bun:test';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');

interface Rule {
  readonly what: string;
  /** Files that are allowed to do it. */
  readonly except?: readonly string[];
  readonly wrong: RegExp;
  /** Code that breaks the rule, and code that looks like it but does not. */
  readonly bad: readonly string[];
  readonly good: readonly string[];
}

const standard =
  'algorithm|atomic|cmath|cstdint|cstdlib|cstring|cstddef|deque|initializer_list|limits|memory|mutex|optional|string|tuple|type_traits|unordered_map|utility|vector';
const rules: readonly Rule[] = [
  {
    what: 'include gpu.h, our own headers and the standard library',
    except: ['cuda/gpu.h', 'kernels/convert.h'],
    wrong: new RegExp(`^\\s*#\\s*include\\s*<(?!(?:${standard})>)`, 'm'),
    bad: [
      '#include <cub/cub.cuh>',
      '# include <cooperative_groups.h>',
      '#include <cuda/std/atomic>',
      '#include <mma.h>',
      '#include <cuda_fp16.h>',
    ],
    good: ['#include "gpu.h"', '#include <cstdint>', '// #include <cub/cub.cuh>'],
  },
  {
    what: 'leave the emulator to gpu.h',
    except: ['cuda/gpu.h'],
    wrong: /#\s*include\s*"[^"]*emulator\/|\bemulator::/,
    bad: ['#include "emulator/language.h"', 'emulator::fail("");'],
    good: ['#include "element.h"'],
  },
  {
    what: 'declare shared memory with GPU_SHARED and GPU_DYN_SHARED',
    except: ['cuda/gpu.h'],
    wrong: /\b__shared__\b/,
    bad: ['__shared__ float tile[32];', 'extern __shared__ char bytes[];'],
    good: ['GPU_SHARED(float, tile, [32]);', '// not __shared__'],
  },
  {
    what: 'launch with launch()',
    wrong: /<<<|>>>\s*\(|\bcudaLaunchKernel\w*\s*\(/,
    except: ['cuda/gpu.h'],
    bad: ['kernel<<<grid, 256>>>(x);', 'cudaLaunchKernelEx(&config, kernel, x);'],
    good: ['launch(context, "add", kernel<T>, grid, threads, 0, x);', 'a = b << 3; c = d >> 3;'],
  },
  {
    what: 'have no assembly',
    except: ['cuda/gpu.h'],
    wrong: /\b(?:__)?asm(?:__)?\b\s*(?:volatile\b)?\s*\(/,
    bad: ['asm("mov.u32 %0, %laneid;" : "=r"(lane));', 'asm volatile("bar.sync 0;");', '__asm__ ("");'],
    good: ['gpu::exp2_approx(x);', '// asm ("is in gpu.h")'],
  },
  {
    what: 'have one source for both compilers',
    except: ['cuda/gpu.h', 'kernels/convert.h', 'kernels/philox.h', 'kernels/math.h'],
    wrong: /\b__CUDA_ARCH__\b|\b__NVCC__\b/,
    bad: ['#if defined(__CUDA_ARCH__)', '#ifdef __NVCC__'],
    good: ['#if defined(__CUDACC__)', '#if defined(__CUDA_ARCH_LIST__)'],
  },
  {
    what: 'keep 16-bit floats for storage',
    except: ['cuda/gpu.h'],
    wrong:
      /\b__h(?:add|sub|mul|div|fma|neg|abs|max|min|eq|lt|gt|le|ge)\w*\s*\(|\bh2?(?:exp|exp2|log|log2|sqrt|rsqrt|rcp|sin|cos|tanh)\s*\(|\b(?:half2|__half2|__nv_bfloat162)\b/,
    bad: ['__hadd(a, b)', '__hfma2(a, b, c)', 'hexp(x)', 'h2rsqrt(x)', '__half2 pair;'],
    good: ['__half2float(x)', '__float2half_rn(x)', 'Half h;'],
  },
  {
    what: 'take the block size as it comes',
    wrong: /\b(?:threadIdx|blockDim)\.[xyz]\s*(?:[<>]=?|[=!]=|[%/*+])\s*(?:3[3-9]|[4-9]\d|\d{3,})\b/,
    bad: ['if (threadIdx.x < 256)', 'threadIdx.x % 64', 'blockDim.x == 128', 'i = blockIdx.x * 4 + threadIdx.x / 128'],
    good: [
      'threadIdx.x < 32',
      'threadIdx.x / 32',
      'threadIdx.x > 0',
      'threadIdx.x < blockDim.x',
      'threadIdx.x < THREADS',
    ],
  },
  {
    what: 'launch blocks of a size that has a name',
    wrong: /\blaunch\([^;]*,\s*(?:dim3\()?(?:[4-9]\d|\d{3,})\)?\s*,[^;]*;/,
    bad: [
      'launch(context, "add", kernel<T>, grid, 256, 0, x);',
      'launch(context, "add",\n  kernel, dim3(4),\n  dim3(128), 0, x);',
    ],
    good: [
      'launch(context, "add", kernel<T, 256>, grid, threads, 0, x);',
      'launch(context, "one", kernel, dim3(1), 32, 0, x);',
    ],
  },
  {
    what: 'can be launched with blocks of 512, or with as many threads as a name says',
    wrong: /__launch_bounds__\(\s*(?:\d{1,2}|[1-4]\d\d|50\d|51[01])\s*[,)]/,
    bad: ['__global__ void __launch_bounds__(256) kernel()', '__launch_bounds__(128, 4)'],
    good: [
      '__launch_bounds__(512, 1)',
      '__launch_bounds__(1024)',
      '__launch_bounds__(THREADS)',
      '__launch_bounds__(MOST_THREADS<T>, 2)',
    ],
  },
  {
    what: 'never wait for the device',
    wrong: /\bcuda(?:Device|Stream|Event)Synchronize\s*\(|\bcuda(?:Memcpy|Memset|Malloc|Free)\s*\(/,
    bad: ['cudaStreamSynchronize(context.stream);', 'cudaMemcpy(a, b, n, kind);', 'cudaMalloc(&p, 4);'],
    good: ['cudaMemcpyAsync(a, b, n, kind, context.stream);'],
  },
  {
    what: 'never wait for another block, or for the order of lanes',
    wrong:
      /\b__nanosleep\s*\(|\b__activemask\s*\(|\bgrid\.sync\s*\(|\b__shfl(?:_up|_down|_xor)?\s*\(|\b__(?:any|all|ballot)\s*\(/,
    bad: ['__nanosleep(100);', '__activemask()', 'grid.sync();', '__shfl_xor(x, 1)', '__ballot(p)'],
    good: ['__shfl_xor_sync(WARP, x, 1)', '__ballot_sync(WARP, p)'],
  },
  {
    what: 'print nothing',
    wrong: /\bprintf\s*\(|\bassert\s*\(|\b__trap\s*\(/,
    bad: ['printf("%d", i);', 'assert(i < n);', '__trap();'],
    good: ['static_assert(sizeof(T) == 4);', 'snprintf_like(x)'],
  },
];

const withoutComments = (code: string): string => code.replaceAll(/\/\/.*$/gm, '').replaceAll(/\/\*[\s\S]*?\*\//g, '');
const breaks = ({ wrong }: Rule, code: string): string | null => wrong.exec(withoutComments(code))?.[0].trim() ?? null;

/** All .cu files, and the headers that they include. */
function kernelFiles(): string[] {
  const files = globSync('cuda/*.cu', { cwd: root });
  for (const path of files) {
    for (const [, name] of read(path).matchAll(/^#include "([^"]+)"/gm)) {
      const header = join(dirname(path), name!);
      if (!files.includes(header)) files.push(header);
    }
  }
  return files.toSorted();
}
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Files that contain host code only. */
const hostOnly = /^(?:abi\/|cuda\/(?:context|device|memory|transfer|backend)\.h$|cuda\/emulator\/)/;
const files = kernelFiles().filter(path => existsSync(join(root, path)) && !hostOnly.test(path));

test('kernel files are found', () => {
  expect(files.length).toBeGreaterThan(30);
  for (const path of ['cuda/softmax.cu', 'cuda/gpu.h', 'kernels/math.h', 'kernels/unary.inc'])
    expect(files).toContain(path);
});

describe.each(rules)('kernel files $what', rule => {
  test('in the repository', () => {
    const found = files
      .filter(path => !rule.except?.includes(path))
      .map(path => [path, breaks(rule, read(path))])
      .filter(([, wrong]) => wrong !== null);
    expect(found).toEqual([]);
  });
  test.each(rule.bad.map(code => [code]))('%s is noticed', code => {
    expect(breaks(rule, code)).not.toBeNull();
  });
  test.each(rule.good.map(code => [code]))('%s is fine', code => {
    expect(breaks(rule, code)).toBeNull();
  });
});
