/** The test files that are not run on Deno and Node, each with the reason. */
export type Runtime = 'deno' | 'node';

interface LeftOut {
  /** What the paths of the files start with, from the folder of tests. */
  readonly files: readonly string[];
  readonly reason: string;
  /** The runtime on which they are left out; both, if there is none. */
  readonly on?: Runtime;
}
export const leftOut: readonly LeftOut[] = [
  {
    files: [
      'structure',
      'format',
      'kernelRules',
      'headerNumbers',
      'abiLayouts',
      'apiReference',
      'hover',
      'declarations',
      'conformance',
    ],
    reason: 'they read files of the project and call nothing that a runtime could change',
  },
  {
    files: [
      'addOp',
      'bench',
      'buildFolder',
      'fuzz',
      'limited',
      'machO',
      'mutants',
      'parity',
      'performancePage',
      'platforms',
      'scripts',
      'timeLimit',
    ],
    reason: 'they test scripts that run with Bun alone',
  },
  {
    files: ['gpu', 'launches', 'sass', 'cublas', 'cuda', 'twoGpus', 'machine'],
    reason:
      'they test the build, the emulator of a GPU, or the check of a GPU, which are native code and scripts of Bun',
  },
  {
    files: ['docs', 'serve/bench', 'serve/chatServer', 'serve/server'],
    reason:
      'the pages and examples are programs for Bun, with its server; runtimes.test.ts runs those of docs/runtimes.md',
  },
  { files: ['nullPointers', 'contextProbes', 'ops/relaid'], reason: 'they call bun:ffi and bun:jsc themselves' },
  { files: ['instances'], reason: "they test bun's --hot, and Workers that get a file of TypeScript as Bun takes it" },
  { files: ['decorators'], reason: 'V8 has no decorators, and Node does not translate them', on: 'node' },
];

/** Returns why a file is not run on a runtime, or null. */
export function reasonFor(file: string, runtime: Runtime): string | null {
  const name = file.replace(/^tests\//, '');
  const found = leftOut.find(
    ({ files, on }) => (on === undefined || on === runtime) && files.some(start => name.startsWith(start)),
  );
  return found?.reason ?? null;
}

/** The files that CI has no time for, as the paths start: the kernels that they test are the same on every runtime. */
export const slow: readonly string[] = [
  'abiTexts',
  'attention',
  'distributions',
  'edgeRules',
  'emptyNorms',
  'expandedGradients',
  'files/mutations',
  'flat',
  'gate',
  'gradScalerMemory',
  'gradScalerPrograms',
  'initialisation',
  'linearActivation',
  'manyChannels',
  'ops/',
  'precision',
  'productRows',
  'random',
  'sizes',
  'train.',
  'viewOps',
  'views',
];
