/**
 * Reads the messages of ptxas from the compilation of the kernels: `bun scripts/spills.ts [part of a kernel's name
 * ...]`. Prints one line for each file, or, with arguments, one line for each matching kernel. Fails if one of the
 * kernels whose speed matters most spills registers to memory, or is missing.
 */
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, say, stop } from './native.ts';

/**
 * The kernels whose speed matters most. For attention these are the ones without a mask (the last template argument),
 * because with a mask some values spill.
 */
const hot: Readonly<Record<string, RegExp>> = {
  gemm: /\bgemm_tensor_kernel</,
  attention: /\battention_(?:tile|key|query)_kernel<\w+, \d+, false>/,
  softmax: /softmax\w*_kernel/,
  norm: /norm\w*_kernel/,
  elementwise: /\belementwise_kernel/,
  multi: /\bunscale_kernel|\boptimizer_kernel/,
};

export interface Kernel {
  readonly file: string;
  readonly name: string;
  readonly architecture: string;
  readonly registers: number;
  /** Bytes stored and loaded because of spills. */
  readonly spilled: number;
}

/** The names of kernels as in the source. */
function demangled(text: string): string {
  if (!Bun.which('c++filt')) stop('c++filt is missing: it comes with the C++ compiler, in binutils');
  const { stdout } = Bun.spawnSync(['c++filt'], { stdin: Buffer.from(text) });
  return stdout.toString().replaceAll('(anonymous namespace)::', '');
}

/** Compiling entry function 'f' for 'sm_90' ... Function properties for g ... 0 bytes spill stores ... Used 32 registers */
export function kernelsOf(file: string, log: string): Kernel[] {
  return demangled(log)
    .split(/(?=Compiling entry function)/)
    .slice(1)
    .map(text => {
      const [, name = '', architecture = ''] = /function '(?:void )?(.+)' for '(\w+)'/.exec(text) ?? [];
      const spills = [...text.matchAll(/(\d+) bytes spill (?:stores|loads)/g)].map(match => Number(match[1]));
      const registers = Number(/Used (\d+) registers/.exec(text)?.[1] ?? 0);
      return { file, name, architecture, registers, spilled: spills.reduce((a, b) => a + b, 0) };
    });
}

/** A line for each problem. */
export function complaints(kernels: readonly Kernel[]): string[] {
  const patterns = Object.values(hot);
  const spilling = kernels.filter(({ name, spilled }) => spilled > 0 && patterns.some(pattern => pattern.test(name)));
  const missing = Object.keys(hot).filter(part => !kernels.some(({ name }) => hot[part]!.test(name)));
  return [
    ...spilling.map(({ name }) => `${name} is promised to be fast and keeps registers in memory`),
    ...missing.map(part => `there is no kernel of ${part}`),
  ];
}

const line = ({ file, name, architecture, registers, spilled }: Kernel): string =>
  `${file} ${architecture}: ${registers} registers, ${spilled} bytes spilled: ${name}`;

function summary(file: string, kernels: readonly Kernel[]): string {
  const registers = Math.max(...kernels.map(kernel => kernel.registers));
  const spilling = kernels.filter(({ spilled }) => spilled > 0).length;
  return `${file.padEnd(24)} ${String(kernels.length).padStart(5)} kernels, at most ${registers} registers, ${spilling} spill`;
}

if (import.meta.main) {
  const logs = globSync(join(build, 'cuda/CMakeFiles/castor_cuda.dir/**/*.o.log')).toSorted();
  const kernels = logs.flatMap(log => kernelsOf(basename(log, '.o.log'), readFileSync(log, 'utf8')));
  if (kernels.length === 0) stop('no kernel was compiled yet: npm run build:cuda');
  const wanted = process.argv.slice(2);
  for (const kernel of kernels) if (wanted.some(part => kernel.name.includes(part))) console.log(line(kernel));
  if (wanted.length === 0)
    for (const [file, group] of Map.groupBy(kernels, ({ file }) => file)) console.log(summary(file, group));
  const spilling = kernels.filter(({ spilled }) => spilled > 0);
  for (const kernel of spilling) console.log(line(kernel));
  say(`${kernels.length} kernels, ${spilling.length} spill`);
  const wrong = complaints(kernels);
  if (wrong.length > 0) stop(wrong.join('\n'));
}
