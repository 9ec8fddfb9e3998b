/**
 * Runs the native tests of the kernels on the emulator, which runs them on the CPU: `bun scripts/kernels.ts [asan|race]
 * [part of a name ...]`. Each kind of op has a process of its own for each block size, so that a crash is one failure
 * and does not hide others. Then it runs the emulator's own tests: bugs that it must find, and its results for single
 * instructions. The last line is `N passed, N failed`.
 *
 *     asan            with AddressSanitizer and UndefinedBehaviorSanitizer
 *     race            with the race checker
 *     --library FILE  with this library, without a build and without the emulator's tests: for a machine with a GPU
 *
 * CASTOR_TEST_SEED (the tensors) and CASTOR_EMULATOR_SEED (the order of threads) repeat a run.
 */
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { build, root, run, sanitizerSettings, say, stop } from './native.ts';

const wanted = process.argv.slice(2);
const at = wanted.indexOf('--library');
const given = at >= 0 ? wanted.splice(at, 2)[1] : undefined;
const mode = ['asan', 'race'].includes(wanted[0] ?? '') ? wanted.shift()! : 'emulated';
const library = given ? resolve(given) : join(build, `castor_${mode}`, 'libcastor.so');

/**
 * No kernel may depend on the block size. The slower builds use fewer sizes, since they look for mistakes that show
 * with any.
 */
const blockSizes = mode === 'emulated' ? [32, 128, 256, 512] : [32, 256];
/**
 * Products choose their block size themselves, but have tiles of several sizes. The largest tile, of 256 rows, needs
 * more shared memory than a block has on compute capability 8.6: there, other tiles must be used.
 */
const settingsOf = (threads: number): Record<string, string> => ({
  CASTOR_CUDA_THREADS: String(threads),
  CASTOR_MATMUL_TILE: String(Math.min(threads, 256)),
  ...(threads > 256 ? { CASTOR_EMULATOR_ARCHITECTURE: '86' } : {}),
  // Work waits in its stream until something waits for it, and streams are served in random order, so that only events
  // give an order.
  CASTOR_EMULATOR_STREAMS: process.env.CASTOR_EMULATOR_STREAMS ?? 'lazy',
});
const jobs = given ? 1 : availableParallelism();
/** A process that takes longer counts as hanging. */
const LIMIT = 15 * 60_000;

const seed = (): string => String(Math.floor(Math.random() * 2 ** 31));
const repeat = {
  CASTOR_TEST_SEED: process.env.CASTOR_TEST_SEED ?? seed(),
  CASTOR_EMULATOR_SEED: process.env.CASTOR_EMULATOR_SEED ?? seed(),
  CASTOR_EMULATOR_ORDER: process.env.CASTOR_EMULATOR_ORDER ?? 'random-skew',
};

async function buildAll(): Promise<void> {
  const builder = Bun.spawn(
    [process.execPath, 'scripts/build.ts', '--emulated', ...(mode === 'emulated' ? [] : [mode])],
    { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  if (!given && (await builder.exited) !== 0) stop('nothing was tested');
  const targets = [
    'castor_kernel_tests',
    ...(given ? [] : [`castor_emulator_tests_${mode}`, 'castor_conformance_emulated', 'castor_fake_cublas']),
  ];
  const lines: string[] = [];
  const command = ['cmake', '--build', build, '-j', String(availableParallelism()), '--target', ...targets];
  if (!(await run(command, line => lines.push(line)))) stop(`the compiler failed\n${lines.join('\n')}`);
}

interface Count {
  passed: number;
  failed: number;
}

/** Runs a test program. A program that ends without a summary has crashed. */
async function count(name: string, command: readonly string[], settings: Record<string, string> = {}): Promise<Count> {
  const child = Bun.spawn(['sh', '-c', 'exec "$@" 2>&1', 'sh', ...command], {
    cwd: root,
    env: {
      ...process.env,
      ...(mode === 'asan' ? sanitizerSettings() : {}),
      ...repeat,
      CASTOR_LIBRARY: library,
      CASTOR_NUM_THREADS: '1',
      ...settings,
    },
    stdout: 'pipe',
    timeout: LIMIT,
    killSignal: 'SIGKILL',
  });
  const start = performance.now();
  const [text, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  const summary = /^(\d+) passed, (\d+) failed$/m.exec(text);
  const passed = Number(summary?.[1] ?? 0);
  const failed = Number(summary?.[2] ?? 0) || (code === 0 ? 0 : 1);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (failed > 0) process.stdout.write(text.replace(/^\d+ passed, \d+ failed\n/m, ''));
  if (!summary) console.log(`${name}: the program ended with code ${code}`);
  if (passed + failed > 0) console.log(`${name}: ${passed} passed, ${failed} failed, ${seconds} s`);
  return { passed, failed };
}

/** The replacement of cuBLASLt computes at once, and therefore needs streams that do so too, and no graphs. */
const plainCublas = {
  CASTOR_CUBLAS: '1',
  CASTOR_CUBLAS_LIBRARY: join(build, 'kernel_tests/libcastor_fake_cublas.so'),
  CASTOR_EMULATOR_STREAMS: 'eager',
  CASTOR_TEST_NO_REPLAYS: '1',
  // Some of the convolutions need several tiles of patches, some of one image and some of more.
  CASTOR_PATCH_BYTES: '40000',
};

await buildAll();
const program = join(build, 'kernel_tests/castor_kernel_tests');
const kinds = Bun.spawnSync([program, '--kinds']).stdout.toString().split('\n').filter(Boolean);
const tasks = blockSizes.flatMap(threads =>
  kinds.map(
    kind => () => count(`${kind}, blocks of ${threads}`, [program, '--kind', kind, ...wanted], settingsOf(threads)),
  ),
);
if (mode === 'emulated' && !given)
  tasks.unshift(
    () => count('conformance', [process.execPath, 'scripts/conformance.ts']),
    ...['matmul', 'convolution'].map(
      kind => () => count(`${kind} by a cuBLASLt of plain loops`, [program, '--kind', kind, ...wanted], plainCublas),
    ),
  );
if (!given)
  tasks.unshift(() => count('emulator', [join(build, `kernel_tests/castor_emulator_tests_${mode}`), ...wanted]));
say(
  `${library}; to repeat: ${Object.entries(repeat)
    .map(pair => pair.join('='))
    .join(' ')}`,
);

const total: Count = { passed: 0, failed: 0 };
const waiting = tasks.values();
await Promise.all(
  Array.from({ length: jobs }, async () => {
    for (const task of waiting) {
      const { passed, failed } = await task();
      total.passed += passed;
      total.failed += failed;
    }
  }),
);
const nothing = total.passed + total.failed === 0;
if (nothing) console.log(`no case has '${wanted.join("' or '")}' in its name`);
console.log(`${total.passed} passed, ${total.failed + Number(nothing)} failed`);
process.exit(total.failed === 0 && !nothing ? 0 : 1);
