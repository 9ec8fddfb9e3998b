/**
 * Checks the machine code that nvcc has made for sm_90, without a GPU: `bun scripts/sass.ts [part of a kernel's name
 * ...]`. Each kernel whose speed matters (scripts/sass/hot.ts) must keep its values in registers, contain the
 * instructions that its speed rests on, and stay within 5 % of its budget: the instructions and the cycles of its main
 * loop. A table of all kernels is written to build/sass.txt. The last line is `N passed, N failed`.
 *
 *     part of a name  prints the lines of the table for these kernels
 *     --write         writes the measured figures to scripts/sass/budgets.json
 */
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { build, root, say, stop, writeJson } from './native.ts';
import { blocksOf, groups, judge, loopOf, nameOf, type Budgets, type Kernel } from './sass/hot.ts';
import { instructionsOf, resourcesOf } from './sass/machineCode.ts';
import { demangled, dump } from './sass/tools.ts';

const ARCHITECTURE = 'sm_90';
const budgetFile = join(root, 'scripts/sass/budgets.json');
const report = join(build, 'sass.txt');

const isHot = (name: string): boolean => groups.some(({ kernels }) => kernels.test(name));

/** The kernels of an object file. Machine code is read only where there is a hot kernel, because that takes longest. */
async function kernelsIn(object: string): Promise<Kernel[]> {
  const resources = resourcesOf(
    await dump(ARCHITECTURE, '-res-usage', object),
    await dump(ARCHITECTURE, '-elf', object),
  );
  const names = demangled([...resources.keys()]).map(nameOf);
  const code = names.some(isHot) ? instructionsOf(await dump(ARCHITECTURE, '-sass', object)) : undefined;
  return [...resources].map(([symbol, each], i) => {
    const name = names[i]!;
    const own = isHot(name) ? code?.get(symbol) : undefined;
    return { name, file: basename(object, '.o'), ...each, ...(own ? { code: own } : {}) };
  });
}

async function allKernels(): Promise<Kernel[]> {
  const objects = globSync(join(build, 'cuda/CMakeFiles/castor_cuda.dir/**/*.cu.o')).toSorted();
  const found: Kernel[][] = objects.map(() => []);
  const waiting = objects.entries();
  const work = async (): Promise<void> => {
    for (const [i, object] of waiting) found[i] = await kernelsIn(object);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return found.flat();
}

const groupOf = (kernel: Kernel): (typeof groups)[number] | undefined =>
  groups.find(({ kernels }) => kernels.test(kernel.name));

const heading = [
  `Kernels for ${ARCHITECTURE}, by what the compiler knows. threads: the largest block that the launch bounds allow, 0 if there are none.`,
  'blocks: how many of them fit on a multiprocessor by their registers and static shared memory. Costs are those of the main loop.',
  'registers  shared  stack  threads  blocks  kernel',
];
function line(kernel: Kernel): string {
  const { name, file, registers, shared, stack, threads } = kernel;
  const numbers = [registers, shared, stack, threads, threads > 0 ? blocksOf(kernel) : '-'];
  const group = groupOf(kernel);
  const cost = group && loopOf(kernel, group);
  const loop = cost
    ? `; ${cost.instructions.toFixed(2)} instructions and ${cost.cycles.toFixed(2)} cycles for each ${group.product}`
    : '';
  return `${numbers.map((x, i) => String(x).padStart([9, 8, 7, 9, 8][i]!)).join('')}  ${file}: ${name}${loop}`;
}

const kernels = await allKernels();
if (kernels.length === 0) stop(`there is no kernel for ${ARCHITECTURE}: npm run build:cuda -- --release`);
writeFileSync(report, `${[...heading, ...kernels.map(line)].join('\n')}\n`);

const wanted = process.argv.slice(2).filter(argument => argument !== '--write');
if (wanted.length > 0) console.log(heading.at(-1));
for (const kernel of kernels) if (wanted.some(part => kernel.name.includes(part))) console.log(line(kernel));

if (process.argv.includes('--write')) {
  const costs = kernels.flatMap(kernel => {
    const group = groupOf(kernel);
    const cost = group && loopOf(kernel, group);
    const rounded = (x: number): number => Math.round(x * 100) / 100;
    return cost
      ? [[kernel.name, { instructions: rounded(cost.instructions), cycles: rounded(cost.cycles) }] as const]
      : [];
  });
  writeJson(budgetFile, Object.fromEntries(costs.toSorted(([a], [b]) => (a < b ? -1 : 1))));
}
const budgets = (existsSync(budgetFile) ? JSON.parse(readFileSync(budgetFile, 'utf8')) : {}) as Budgets;
const verdicts = judge(kernels, budgets);
for (const { kernel, complaints } of verdicts)
  for (const complaint of complaints) console.log(`${kernel} ${complaint}`);
const failed = verdicts.filter(({ complaints }) => complaints.length > 0).length;
const framed = kernels.filter(({ stack }) => stack > 0).length;
say(`${kernels.length} kernels, ${framed} with a stack frame; the table is ${report}`);
console.log(`${verdicts.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
