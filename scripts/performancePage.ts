/**
 * Writes docs/performance.md from the files that `npm run bench -- --save` wrote to benchmarks/results:
 * `npm run docs:performance`. A test compares the page with them. With `--example` it also runs
 * examples/mixedPrecision.ts and puts what it printed into README.md.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { levelFacts, levels, isLevel, type Level } from '../benchmarks/levels.ts';
import { kept, limitsOf, overTorch, show, type Measured, type Row } from '../benchmarks/report.ts';
import { allResults, fileOf, type MeasuredPart, type Results, type Taken } from '../benchmarks/results.ts';

export const PAGE = resolve(import.meta.dir, '../docs/performance.md');
const README = resolve(import.meta.dir, '../README.md');

/** A sentence on each part: the subject of its figures, with the sizes. */
const about: Readonly<Record<string, string>> = {
  op: 'The host time of an op on 8 floats that is recorded for backward, and of the same with backward.',
  gate: 'The check of the arguments of `x.sum(0)`.',
  autocast: 'What autocast adds to an op that needs no cast, to a product whose weight is cached, and for a scope.',
  scaler: 'Unscale, step and update of 150 tensors, beyond the launches.',
  loop: 'The peak of memory in a loop of a million ops in which nothing is disposed.',
  activation:
    'The memory that a forward pass keeps for backward, under autocast over float32, with the copies of weights in 16 bits; `perBatch` is ' +
    'without them.',
  add: 'The sum of two tensors of 16 M floats.',
  matmul:
    'Products of square matrices of 256, 1024 and 2048, and 64 of 128x64 by 64x128; t means a transposed operand. `peak` is measured in ' +
    'registers: FMA for float32, and for bfloat16 the instruction of the level. A share is that of the faster of them.',
  mlp: 'A training step of the MLP 784-512-512-10 with ReLU and Adam on a batch of 64.',
  convnet:
    'A training step of two blocks of 3x3 convolution (1-32-64), BatchNorm, ReLU and pooling on 64 images of 28x28, with Adam.',
  gpt128: 'A training step of the default GPT of train.ts: 4 layers, width 128, 4 heads, context 128, batch 16.',
  gpt512:
    'A training step of a GPT of 4 layers, width 512, 8 heads, context 256, batch 4, with AdamW and clipped gradients.',
  doubling:
    'What a step of a GPT of width 256, context 256 and batch 4 takes for each operation when one of these is doubled, over what it ' +
    'takes before.',
  table:
    'Ops on 2^20 elements: matrices of 1024x1024, images (16, 64, 32, 32), attention (8, 8, 256, 64). `both` is forward and backward.',
  file: 'The longest time for which saving and loading 384 MB keeps the event loop waiting.',
  runtimes:
    'The host time of an op as in `op`, on Bun, Deno and Node. `unscoped` is forward and backward outside of `tidy()`, where the safety net ' +
    'frees what is left.',
  train: 'The held-out loss of train.ts after 300 steps, in nats a byte.',
};

const threadsOf = (rows: readonly Row[]): number[] =>
  [...new Set(rows.flatMap(({ measured }) => measured.map(({ threads }) => threads)))].toSorted((a, b) => a - b);
const countOf = (threads: number): string => (threads === 1 ? '1 thread' : `${threads} threads`);
const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

/** Says whether the limits of a row are reached at each number of threads. */
function verdict(row: Row): string {
  const judged = row.measured.filter(one => kept(row, one) !== null);
  const short = judged.filter(one => !kept(row, one));
  if (judged.length === 0) return '';
  if (short.length === 0) return 'yes';
  if (short.length === judged.length) return '**no**';
  return `**no** with ${short.map(({ threads }) => countOf(threads)).join(', ')}`;
}

function cellsOf(row: Row, threads: number, withTorch: boolean): string[] {
  const one: Measured | undefined = row.measured.find(each => each.threads === threads);
  const own = one ? show(one.value) : '';
  if (!withTorch) return [own];
  return [own, show(one?.torch), one ? show(overTorch(row, one)) : ''];
}

function tableOf(rows: readonly Row[]): string[] {
  const threads = threadsOf(rows);
  const withTorch = rows.some(({ measured }) => measured.some(({ torch }) => torch !== undefined));
  const columns = threads.flatMap(count => [
    `Castor, ${countOf(count)}`,
    ...(withTorch ? ['PyTorch', 'over PyTorch'] : []),
  ]);
  return [
    line(['figure', 'unit', ...columns, 'must', 'reached']),
    line(['---', '---', ...columns.map(() => '--:'), '---', '---']),
    ...rows.map(row =>
      line([
        `\`${row.name}\``,
        row.unit,
        ...threads.flatMap(count => cellsOf(row, count, withTorch)),
        limitsOf(row),
        verdict(row),
      ]),
    ),
  ];
}

function takenText({ date, castor, bun, torch, rounds, clock, waited }: Taken): string {
  const versions = [`Castor ${castor}`, `Bun ${bun}`, ...(torch ? [`PyTorch ${torch}`] : [])].join(', ');
  const quiet =
    clock === 'wall' && waited > 0.02 ? `; **other programs took ${Math.round(waited * 100)} % of its time**` : '';
  const counted = clock === 'processor' ? ', processor time instead of time on the clock' : '';
  return `Measured on ${date} with ${versions}, ${rounds} rounds${counted}${quiet}.`;
}

const partText = (name: string, { taken, figures }: MeasuredPart): string[] => [
  `### ${name}`,
  '',
  ...(about[name] === undefined ? [] : [about[name], '']),
  takenText(taken),
  '',
  ...tableOf(figures),
  '',
];

/** The explanation that a person wrote of figures that do not reach their limits. It stands in a file beside the results. */
function boundsOf(results: Results): string[] {
  const file = join(import.meta.dir, '../benchmarks/results', fileOf(results).replace(/json$/, 'md'));
  return existsSync(file) ? ['### What bounds figures that fall short', '', readFileSync(file, 'utf8').trim(), ''] : [];
}

const productsOf = ({ products }: Results): string =>
  Object.entries(products)
    .map(([dtype, how]) => `${dtype}: ${how}`)
    .join('; ');

const sectionOf = (results: Results): string[] => [
  `## ${results.machine}, level ${results.level}`,
  '',
  `${results.processors} processors. Products: ${productsOf(results)}. Results: \`benchmarks/results/${fileOf(results)}\`.`,
  '',
  ...Object.entries(results.parts).flatMap(([name, part]) => partText(name, part)),
  ...boundsOf(results),
];

/** The value of a figure at the largest number of threads. */
function valueOf(results: Results, name: string): string {
  const rows = Object.values(results.parts).flatMap(({ figures }) => figures);
  const row = rows.find(each => each.name === name);
  if (!row) return 'not measured';
  const one = row.measured.at(-1)!;
  return kept(row, one) === false ? `**${show(one.value)}**` : show(one.value);
}

/** The gain of 16 bits at each level. A level that no machine at hand has is said to be unmeasured. */
function levelRows(all: readonly Results[]): string[] {
  return levels.flatMap(level => {
    const { speedup } = levelFacts[level];
    const musts = [speedup.bf16, speedup.f16];
    const own = all.filter(results => results.level === level);
    if (own.length === 0)
      return [line([level, 'unmeasured: no machine at hand has been measured at it', '', '', ...musts])];
    const versus = (results: Results): string[] =>
      ['gpt512.bf16.speedup', 'gpt512.f16.speedup'].map(name => valueOf(results, name));
    return own.map(results => line([level, results.machine, ...versus(results), ...musts]));
  });
}

/** The whole page, made from results. */
export const pageOf = (all: readonly Results[]): string =>
  `${[
    '# Performance of the CPU backend',
    '',
    'Made by `npm run docs:performance` from the files in `benchmarks/results`; do not edit by hand. `npm run bench -- --save` measures on your',
    'machine and writes such a file; [CONTRIBUTING.md](../CONTRIBUTING.md#measure) says more.',
    '',
    'Figures are medians. Castor and PyTorch run in turns, sample by sample, with the same sizes, models, optimizers and numbers of threads;',
    '"over PyTorch" is PyTorch\'s time over Castor\'s, so that more is better. A figure that does not reach its limit has a **no** in the last',
    'column. At a level that `CASTOR_ISA` selects, PyTorch, oneDNN and MKL are kept to the same instructions.',
    '',
    '## Levels',
    '',
    'A level is the instruction set of the kernels. This is what a step of the GPT of width 512 gains in 16 bits over float32, at the largest',
    'number of threads:',
    '',
    line(['level', 'measured on', 'bfloat16', 'float16', 'must, bfloat16', 'must, float16']),
    line(['---', '---', '--:', '--:', '---', '---']),
    ...levelRows(all),
    '',
    ...[...all].toSorted(byLevel).flatMap(sectionOf),
  ]
    .join('\n')
    .trimEnd()}\n`;

/** The widest level comes first. */
function byLevel(a: Results, b: Results): number {
  const rank = (level: string): number => (isLevel(level) ? levels.indexOf(level satisfies Level) : -1);
  return rank(b.level) - rank(a.level) || a.machine.localeCompare(b.machine);
}

const block = /(<!-- examples\/mixedPrecision\.ts -->\n\n)(?: {4}.*\n)*/;
/** The lines of the example's output in README.md. */
export const shownInReadme = (readme: string): string[] =>
  block
    .exec(readme)?.[0]
    .split('\n')
    .filter(text => text.startsWith('    '))
    .map(text => text.slice(4)) ?? [];

async function refreshReadme(): Promise<void> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, '../examples/mixedPrecision.ts')], {
    stderr: 'inherit',
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error('examples/mixedPrecision.ts failed');
  const indented = text
    .trimEnd()
    .split('\n')
    .map(each => `    ${each}\n`)
    .join('');
  const readme = readFileSync(README, 'utf8');
  if (!block.test(readme)) throw new Error('README.md has no place for the output of examples/mixedPrecision.ts');
  await Bun.write(
    README,
    readme.replace(block, (_, mark: string) => mark + indented),
  );
}

if (import.meta.main) {
  if (process.argv.includes('--example')) await refreshReadme();
  await Bun.write(PAGE, pageOf(allResults()));
}
