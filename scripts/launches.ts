/**
 * Checks, without a GPU, that a driver would accept every launch of the library: `bun scripts/launches.ts`. The objects
 * that nvcc made for `npm run build:cuda` are linked with a CUDA runtime that runs no kernel, but compares each launch
 * with what ptxas says of the kernel (tests/launches/cudart.cpp). The native cases of the kernels and a sweep over sizes
 * (tests/launches/sweep.ts) are run with it, for each architecture. Every kernel must be launched on one of them, or be
 * listed in scripts/launches/unlaunched.json with the reason. In the end wrong figures are put into the table, which the
 * check must notice. The last line is `N passed, N failed`, where each kernel counts once.
 *
 *     --build FOLDER  with the objects of another build folder
 */
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { inject, type Table } from './launches/table.ts';
import { judge, merged, readReport, type Judgement, type Report } from './launches/judge.ts';
import { build as usual, root, run, say, stop } from './native.ts';
import { nameOf } from './sass/hot.ts';
import { resourcesOf } from './sass/machineCode.ts';
import { demangled, dump } from './sass/tools.ts';

const at = process.argv.indexOf('--build');
const build = at >= 0 ? resolve(process.argv[at + 1] ?? '') : usual;
const cache = join(build, 'CMakeCache.txt');
const configured = (key: string): string | undefined =>
  existsSync(cache) ? new RegExp(`^${key}:\\w+=(.*)$`, 'm').exec(readFileSync(cache, 'utf8'))?.[1] : undefined;
if (configured('CASTOR_CUDA') !== 'ON') stop(`${build} has no objects of nvcc: npm run build:cuda`);

const asked = configured('CASTOR_CUDA_ARCH') || '90';
const architectures = asked === 'release' ? ['90', '80'] : asked.split(';');
const program = join(build, 'kernel_tests/castor_kernel_tests');
const work = mkdtempSync(join(tmpdir(), 'castor-launches-'));
const unlaunched = JSON.parse(readFileSync(join(root, 'scripts/launches/unlaunched.json'), 'utf8')) as Record<
  string,
  string
>;

// ---- what ptxas says ----------------------------------------------------------------------------------------------

/**
 * The bytes of shared memory that the system takes of each block. On these architectures cuobjdump adds them to those of
 * the kernel, but the limits of a launch do not count them.
 */
const reservedOn = (architecture: string): number => (Number(architecture) >= 90 ? 1024 : 0);

async function tableOf(architecture: string): Promise<Table> {
  const table: Table = new Map();
  for (const object of globSync(join(build, 'cuda/CMakeFiles/castor_cuda.dir/**/*.cu.o'))) {
    const both = await Promise.all(['-res-usage', '-elf'].map(what => dump(`sm_${architecture}`, what, object)));
    for (const [symbol, { registers, shared, threads }] of resourcesOf(both[0]!, both[1]!))
      table.set(symbol, {
        registers,
        shared: Math.max(0, shared - reservedOn(architecture)),
        threads: threads || 1024,
      });
  }
  if (table.size === 0) stop(`the objects in ${build} contain no code for sm_${architecture}`);
  return table;
}

function namesOf(table: Table): Map<string, string> {
  const names = demangled([...table.keys()]).map(nameOf);
  return new Map([...table.keys()].map((symbol, i) => [symbol, names[i]!]));
}

// ---- the programs that launch -------------------------------------------------------------------------------------

interface Task {
  readonly name: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const kinds = (): string[] => Bun.spawnSync([program, '--kinds']).stdout.toString().split('\n').filter(Boolean);
const native = (kind: string, env: Record<string, string> = {}): Task => ({
  name: `${kind} ${Object.values(env).join(' ')}`.trim(),
  command: [program, '--kind', kind],
  env,
});
const sweep = (part: string, env: Record<string, string> = {}): Task => ({
  name: `sweep of ${part} ${Object.values(env).join(' ')}`.trim(),
  command: [process.execPath, 'tests/launches/sweep.ts', part],
  env,
});
/** Sides of the tiles of products that can be forced: those of both families. */
const tiles = ['64', '128', '256'].map(CASTOR_MATMUL_TILE => ({ CASTOR_MATMUL_TILE }));

const tasks = (): Task[] => [
  ...['rows', 'products', 'others'].map(part => sweep(part)),
  ...tiles.map(env => sweep('products', env)),
  ...tiles.map(env => native('matmul', env)),
  ...kinds().map(kind => native(kind)),
  ...kinds().map(kind => native(kind, { CASTOR_CUDA_THREADS: '512', CASTOR_TEST_SEED: '2' })),
];

/** Runs a program to its end. The results are wrong, because no kernel runs, so only the last line has to be there. */
async function finishes({ name, command, env }: Task, settings: Record<string, string>): Promise<boolean> {
  const child = Bun.spawn(['sh', '-c', 'exec "$@" 2>&1', 'sh', ...command], {
    cwd: root,
    env: {
      ...process.env,
      CASTOR_LIBRARY: join(build, 'castor_launches/libcastor.so'),
      CASTOR_NUM_THREADS: '1',
      CASTOR_CUBLAS: '0',
      CASTOR_TEST_SEED: '1',
      ...env,
      ...settings,
    },
    stdout: 'pipe',
    timeout: 10 * 60_000,
    killSignal: 'SIGKILL',
  });
  const text = await new Response(child.stdout).text();
  const code = await child.exited;
  const ended = command[0] === program ? /^\d+ passed, \d+ failed$/m.test(text) : code === 0;
  if (!ended) console.log(`${name} ended with code ${code}\n${text.slice(-3000)}`);
  return ended;
}

/** Runs the programs, two or more at a time, and returns what they reported and how many did not end well. */
async function launchesOf(list: readonly Task[], table: Table, architecture: string): Promise<[string, number]> {
  const [figures, report] = [join(work, 'figures'), join(work, 'report')];
  writeFileSync(
    figures,
    [...table].map(([symbol, k]) => `${symbol} ${k.registers} ${k.shared} ${k.threads}\n`).join(''),
  );
  writeFileSync(report, '');
  const settings = { CASTOR_LAUNCH_KERNELS: figures, CASTOR_LAUNCH_REPORT: report, CASTOR_LAUNCH_ARCH: architecture };
  const waiting = list.values();
  let failed = 0;
  const worker = async (): Promise<void> => {
    for (const task of waiting) if (!(await finishes(task, settings))) failed++;
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return [readFileSync(report, 'utf8'), failed];
}

// ---- the check ----------------------------------------------------------------------------------------------------

/** The launches that the runtime which runs nothing has seen for one architecture, and a problem for each program that did not end. */
async function launchesOn(architecture: string, table: Table): Promise<readonly [Report, string[]]> {
  const [text, crashed] = await launchesOf(tasks(), table, architecture);
  const { launched, wrong } = readReport(text);
  const problems = Array<string>(crashed).fill(`a program did not end on sm_${architecture}`);
  return [
    { launched, wrong: wrong.map(([symbol, what]) => [symbol, `${what} (sm_${architecture})`] as const) },
    problems,
  ];
}

/** Whether the check notices figures that allow less than the launches need. */
async function checkInjections(table: Table): Promise<Judgement> {
  const problems: string[] = [];
  for (const [what, wrong, found] of inject(table)) {
    const [report] = await launchesOf([native('softmax')], wrong, architectures[0]!);
    if (!found.test(report)) problems.push(`${what} went unnoticed`);
  }
  return { passed: inject(table).length - problems.length, problems };
}

async function buildPrograms(): Promise<void> {
  const targets = ['castor_launches', 'castor_kernel_tests'];
  const command = ['cmake', '--build', build, '-j', String(availableParallelism()), '--target', ...targets];
  const lines: string[] = [];
  if (!(await run(command, line => lines.push(line)))) stop(`the compiler failed\n${lines.join('\n')}`);
}

await buildPrograms();
const started = performance.now();
const tables = new Map<string, Table>();
const reports: Report[] = [];
const problems: string[] = [];
for (const architecture of architectures) {
  const table = await tableOf(architecture);
  const [report, crashes] = await launchesOn(architecture, table);
  tables.set(architecture, table);
  reports.push(report);
  problems.push(...crashes);
  say(`sm_${architecture}: ${table.size} kernels, ${((performance.now() - started) / 1000).toFixed(0)} s so far`);
}
const first = tables.get(architectures[0]!)!;
const parts = [judge(merged(reports), namesOf(first), unlaunched), await checkInjections(first)];
problems.push(...parts.flatMap(part => part.problems));
for (const problem of problems) console.log(problem);
rmSync(work, { recursive: true, force: true });
console.log(`${parts.reduce((sum, { passed }) => sum + passed, 0)} passed, ${problems.length} failed`);
process.exit(problems.length === 0 ? 0 : 1);
