/**
 * What ptxas said of the kernels when they were compiled: `bun scripts/spills.ts [part of a kernel's name ...]`. Prints a line a file,
 * or a line a kernel when asked for some. Fails when one of the hot kernels keeps registers in memory, or is not there.
 */
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, say, stop } from './native.ts';

/** Kernels whose speed is promised, by a part of their names. */
const hot = ['gemm', 'attention', 'softmax', 'norm', 'elementwise', 'multi'];

interface Kernel {
  readonly file: string;
  readonly symbol: string;
  readonly architecture: string;
  readonly registers: number;
  readonly spilled: number;
}

/** Compiling entry function 'f' for 'sm_90' ... Function properties for g ... 0 bytes spill stores ... Used 32 registers */
function kernelsOf(log: string): Kernel[] {
  const file = basename(log).replace(/\.o\.log$/, '');
  return readFileSync(log, 'utf8')
    .split(/(?=Compiling entry function)/)
    .slice(1)
    .map(text => {
      const [, symbol = '', architecture = ''] = /function '(\w+)' for '(\w+)'/.exec(text) ?? [];
      const spills = [...text.matchAll(/(\d+) bytes spill (?:stores|loads)/g)].map(match => Number(match[1]));
      const registers = Number(/Used (\d+) registers/.exec(text)?.[1] ?? 0);
      return { file, symbol, architecture, registers, spilled: spills.reduce((a, b) => a + b, 0) };
    });
}

/** Names as they stand in the source, where c++filt is there. */
function demangled(symbols: readonly string[]): string[] {
  if (!Bun.which('c++filt')) return [...symbols];
  return Bun.spawnSync(['c++filt'], { stdin: Buffer.from(symbols.join('\n')) })
    .stdout.toString()
    .trim()
    .split('\n');
}

const kernels = globSync(join(build, 'cuda/CMakeFiles/castor_cuda.dir/**/*.o.log')).toSorted().flatMap(kernelsOf);
if (kernels.length === 0) stop('no kernel was compiled yet: npm run build:cuda');
const names = demangled(kernels.map(({ symbol }) => symbol)).map(name => name.replace(/^void /, ''));
const line = ({ file, architecture, registers, spilled }: Kernel, name: string): string =>
  `${file} ${architecture}: ${registers} registers, ${spilled} bytes spilled: ${name}`;

const wanted = process.argv.slice(2);
if (wanted.length > 0) {
  kernels.forEach((kernel, i) => {
    if (wanted.some(part => names[i]!.includes(part))) console.log(line(kernel, names[i]!));
  });
} else {
  for (const [file, group] of Map.groupBy(kernels, ({ file }) => file)) {
    const most = Math.max(...group.map(({ registers }) => registers));
    const spilling = group.filter(({ spilled }) => spilled > 0).length;
    console.log(
      `${file.padEnd(24)} ${String(group.length).padStart(5)} kernels, at most ${most} registers, ${spilling} spill`,
    );
  }
}

const isHot = (name: string): boolean => hot.some(part => name.split('(')[0]!.includes(part));
const spilling = kernels.map((kernel, i) => [kernel, names[i]!] as const).filter(([{ spilled }]) => spilled > 0);
for (const [kernel, name] of spilling) console.log(line(kernel, name));
const missing = hot.filter(part => !names.some(name => name.includes(part)));
if (missing.length > 0) stop(`there is no kernel of ${missing.join(', ')}`);
if (spilling.some(([, name]) => isHot(name))) stop('a kernel whose speed is promised keeps registers in memory');
say(`${kernels.length} kernels, ${spilling.length} spill`);
