/** The kernels whose speed matters most, what the compiler has to make of them, and whether it did. */
import { costOf, mainLoop, type Instruction, type LoopCost, type Resources } from './machineCode.ts';

export interface Group {
  readonly name: string;
  /** Matches the kernels' names as nameOf() gives them. */
  readonly kernels: RegExp;
  /** Instructions that each of the kernels has to contain. */
  readonly uses: readonly RegExp[];
  /** The instruction of the main loop that does the work, for groups whose loop has a budget. */
  readonly product?: string;
}

const tensorCores = /^HMMA\./;
const fromShared = /^LDSM\.16\.\w+\.4$/;
const toShared = /^LDGSTS\..*128$/;
const load = /^LDG\..*128/;
const store = /^STG\..*128/;

export const groups: readonly Group[] = [
  {
    name: 'products',
    kernels: /^gemm_tensor_kernel<(?!Tiling<float .* false> \d+> Rows<.* false> \d+>>$).*> Rows<.* Rows</,
    uses: [tensorCores, fromShared, toShared, store],
    product: 'HMMA',
  },
  // ldmatrix does not transpose elements of 32 bits.
  {
    name: 'products of tf32, of two operands in rows across k',
    kernels: /^gemm_tensor_kernel<Tiling<float .*> Rows<.* false> \d+> Rows<.* false> \d+>>$/,
    uses: [tensorCores, /^LDS$/, toShared, store],
    product: 'HMMA',
  },
  {
    name: 'convolutions',
    kernels: /^gemm_tensor_kernel<.* Gather</,
    uses: [tensorCores, fromShared, /^STS\.128$/, store],
    product: 'HMMA',
  },
  {
    name: 'products of float32',
    kernels: /^gemm_simt_kernel<float .* Rows<.* Rows</,
    uses: [/^FFMA/, /^LDS\.128$/, load, store],
    product: 'FFMA',
  },
  { name: 'products of few columns', kernels: /^gemm_(?:dot|axpy)_kernel</, uses: [load] },
  {
    name: 'attention',
    kernels: /^attention_(?:tile|key|query)_kernel<\w+ \d+ false false>/,
    uses: [tensorCores, fromShared, toShared, /^MUFU\.EX2$/, store],
    product: 'HMMA',
  },
  // The loop contains the loads of each dtype that a mask may have. Not all values of the gradients of short keys fit into registers.
  {
    name: 'attention with a mask',
    kernels: /^attention_(?:(?:tile|query)_kernel<\w+ \d+ true false>|key_kernel<\w+ 128 true false>)/,
    uses: [tensorCores, fromShared, toShared, /^MUFU\.EX2$/, store],
    product: 'HMMA',
  },
  // In the other kernels with dropout the random numbers leave no registers for some values.
  {
    name: 'attention with dropout',
    kernels: /^attention_tile_kernel<\w+ (?:32|128) true true>/,
    uses: [tensorCores, fromShared, toShared, /^MUFU\.EX2$/, store],
    product: 'HMMA',
  },
  // Another kernel joins its results, in float32.
  {
    name: 'attention of few queries',
    kernels: /^attention_few_kernel</,
    uses: [tensorCores, fromShared, toShared, /^MUFU\.EX2$/, /^STG\.E\.64$/],
    product: 'HMMA',
  },
  { name: 'patches of convolutions', kernels: /^patches_kernel$/, uses: [store] },
  { name: 'softmax', kernels: /softmax\w*_kernel/, uses: [load, store] },
  { name: 'norm', kernels: /^norm_(?:kernel|backward_kernel)</, uses: [load, store] },
  { name: 'elementwise', kernels: /^elementwise_kernel<float [1-9] /, uses: [load, store] },
  { name: 'norms of many tensors', kernels: /^norm_chunks_kernel<Batch</, uses: [load] },
  { name: 'many tensors', kernels: /^(?:unscale|scale|optimizer)_kernel<Batch</, uses: [load, store] },
];

/** A kernel's name and template arguments, without namespaces, function arguments and commas. */
export function nameOf(demangled: string): string {
  const plain = demangled
    .replaceAll('(anonymous namespace)', '')
    .replace(/^void /, '')
    .replaceAll(/\b\w*::/g, '')
    .replaceAll('::', '');
  let depth = 0;
  const end = [...plain].findIndex(c => {
    if (c === '<') depth++;
    if (c === '>') depth--;
    return c === '(' && depth === 0;
  });
  return (end < 0 ? plain : plain.slice(0, end)).replaceAll(',', '').replaceAll(/ >/g, '>').trim();
}

export interface Kernel extends Resources {
  readonly name: string;
  readonly file: string;
  /** Only read for kernels of a group. */
  readonly code?: readonly Instruction[];
}

export type Budgets = Readonly<Record<string, LoopCost>>;
export interface Verdict {
  readonly kernel: string;
  readonly complaints: readonly string[];
}

/** How far a loop may be from its budget, which is committed in budgets.json. */
const TOLERANCE = 0.05;
const spill = /^(?:LDL|STL)/;

export function loopOf({ code = [] }: Kernel, { product }: Group): LoopCost | undefined {
  return product === undefined ? undefined : costOf(mainLoop(code, product), product);
}

function overBudget(kernel: Kernel, group: Group, budgets: Budgets): string[] {
  if (group.product === undefined) return [];
  const [cost, budget] = [loopOf(kernel, group), budgets[kernel.name]];
  if (!cost) return [`has no loop with ${group.product}`];
  if (!budget) return ['has no budget'];
  const wrong = (['instructions', 'cycles'] as const).filter(
    what => Math.abs(cost[what] / budget[what] - 1) > TOLERANCE,
  );
  return wrong.map(
    what =>
      `needs ${cost[what].toFixed(2)} ${what} for each ${group.product}, and its budget is ${budget[what].toFixed(2)}`,
  );
}

function complaintsOf(kernel: Kernel, group: Group, budgets: Budgets): string[] {
  const { code = [], stack } = kernel;
  const missing = group.uses.filter(use => !code.some(({ name }) => use.test(name)));
  return [
    ...(stack > 0 ? [`has a stack frame of ${stack} bytes`] : []),
    ...(code.some(({ name }) => spill.test(name)) ? ['keeps values in local memory'] : []),
    ...missing.map(use => `has no ${use.source}`),
    ...overBudget(kernel, group, budgets),
  ];
}

/** A verdict for each hot kernel, and one for each group without kernels and each budget without a kernel. */
export function judge(kernels: readonly Kernel[], budgets: Budgets): Verdict[] {
  const hot = groups.flatMap(group =>
    kernels.filter(({ name }) => group.kernels.test(name)).map(kernel => ({ kernel, group })),
  );
  const empty = groups.filter(group => !hot.some(each => each.group === group));
  const unused = Object.keys(budgets).filter(
    name => !hot.some(({ kernel, group }) => kernel.name === name && group.product),
  );
  return [
    ...hot.map(({ kernel, group }) => ({ kernel: kernel.name, complaints: complaintsOf(kernel, group, budgets) })),
    ...empty.map(({ name }) => ({ kernel: `the group '${name}'`, complaints: ['has no kernel'] })),
    ...unused.map(name => ({ kernel: name, complaints: ['has a budget, and does not exist'] })),
  ];
}

/**
 * How many blocks of a kernel fit on a multiprocessor of compute capability 9.0, with the largest block that its launch
 * bounds allow, by its registers and static shared memory. Dynamic shared memory is not known to the compiler.
 */
export function blocksOf({ registers, shared, threads }: Resources): number {
  const warps = Math.ceil(threads / 32);
  // Each quarter of the multiprocessor gives a warp its registers in steps of 256.
  const byRegisters = 4 * Math.floor(16384 / (Math.ceil((registers * 32) / 256) * 256));
  const byShared = shared > 0 ? Math.floor((228 * 1024) / shared) : Infinity;
  return Math.min(32, Math.floor(Math.min(64, byRegisters) / warps), byShared);
}
