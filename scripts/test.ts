/**
 * Builds the library if needed, checks types, and runs the tests: `bun scripts/test.ts [part of a file name ...]`. Each
 * test file has a process of its own, so that a crash of native code is one failure and does not hide others. The last
 * line is `N passed, N failed`.
 *
 *     --emulated       with the library whose CUDA device is an emulator on the CPU, two processes at a time. It runs the threads
 *                      of a block in random order; CASTOR_EMULATOR_SEED repeats one
 *     --asan           with the library whose memory accesses AddressSanitizer checks; types are not checked, and only
 *                      files that run many kernels are
 *     --library FILE   with this library; nothing is built, and types are not checked
 *     --bun FILE       in this Bun, which may be one for another platform behind an emulator
 *     --jobs N         the number of processes at a time
 *     --limit SECONDS  a file that takes longer counts as hanging
 */
import { join, resolve } from 'node:path';
import { endedHow, endLeftovers, runLimited } from './limited.ts';
import { sanitizerSettings, testFiles, testsMemory } from './native.ts';

const root = join(import.meta.dir, '..');
const wanted = process.argv.slice(2);
function flag(name: string): boolean {
  const at = wanted.indexOf(name);
  if (at >= 0) wanted.splice(at, 1);
  return at >= 0;
}
function option(name: string): string | undefined {
  const at = wanted.indexOf(name);
  return at >= 0 ? wanted.splice(at, 2)[1] : undefined;
}
const emulated = flag('--emulated');
const asan = flag('--asan');
const special = emulated ? 'castor_emulated' : asan ? 'castor_cpu_asan' : null;
const library = special ? join(root, 'build', special, 'libcastor.so') : option('--library');
const bun = option('--bun');
const JOBS = Number(option('--jobs') ?? (special ? 2 : 1));
const repeat = {
  CASTOR_EMULATOR_SEED: process.env.CASTOR_EMULATOR_SEED ?? String(Math.floor(Math.random() * 2 ** 31)),
  CASTOR_EMULATOR_ORDER: process.env.CASTOR_EMULATOR_ORDER ?? 'random-skew',
};
const env = {
  ...process.env,
  ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}),
  ...(library ? { CASTOR_LIBRARY: resolve(library) } : {}),
  ...(emulated ? { CASTOR_NUM_THREADS: '1', ...repeat } : {}),
  ...(bun ? { CASTOR_TEST_BUN: resolve(bun) } : {}),
};
const preloaded = asan ? sanitizerSettings() : {};
const LIMIT = Number(option('--limit') ?? 15 * 60);

interface Count {
  passed: number;
  failed: number;
}

/**
 * Runs Bun with some arguments and returns its output. If it is the only process, the output is also shown as it
 * comes.
 */
async function run(...args: string[]): Promise<{ text: string; how: string | null }> {
  const ended = await runLimited([bun ?? process.execPath, ...args], {
    limit: LIMIT,
    env: args[0] === 'test' ? { ...env, ...preloaded } : env,
    ...(JOBS === 1 ? { onText: (text: string) => void process.stdout.write(text) } : {}),
  });
  return { text: Bun.stripANSI(ended.text), how: endedHow(ended) };
}

/** A step that passes or fails as a whole, and counts only if it fails. */
async function step(...args: string[]): Promise<boolean> {
  const { text, how } = await run(...args);
  if (JOBS > 1) process.stdout.write(text);
  return how === null;
}

/** The numbers of the summary of a test file. A process that ends without a summary has crashed. */
async function testFile(file: string): Promise<Count> {
  const start = performance.now();
  const { text, how } = await run('test', `./${file}`);
  const last = (word: string): number =>
    Number([...text.matchAll(new RegExp(`^\\s*(\\d+) ${word}$`, 'gm'))].at(-1)?.[1] ?? 0);
  const count = { passed: last('pass'), failed: last('fail') };
  const crashed = how !== null && count.failed === 0;
  if (JOBS > 1) {
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    if (how !== null) process.stdout.write(text.replace(/^\(pass\).*\n/gm, ''));
    console.log(`${file}: ${count.passed} passed, ${count.failed} failed, ${seconds} s`);
  }
  if (crashed) console.log(`${file}: the runner ${how}`);
  return crashed ? { ...count, failed: 1 } : count;
}

function finish({ passed, failed }: Count): never {
  if (emulated)
    console.log(
      `to repeat: ${Object.entries(repeat)
        .map(pair => pair.join('='))
        .join(' ')}`,
    );
  endLeftovers();
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

const build = ['scripts/build.ts', ...(emulated ? ['--emulated'] : asan ? ['--asan'] : [])];
if ((special || !library) && !(await step(...build))) finish({ passed: 0, failed: 1 });
const total: Count = { passed: 0, failed: library || (await step('--no-script', 'check')) ? 0 : 1 };

const files = testFiles().filter(file => !asan || testsMemory(file));
const chosen = wanted.length === 0 ? files : files.filter(file => wanted.some(part => file.includes(part)));
if (chosen.length === 0) console.log(`no test file has '${wanted.join("' or '")}' in its name`);
const waiting = chosen.values();
await Promise.all(
  Array.from({ length: JOBS }, async () => {
    for (const file of waiting) {
      const { passed, failed } = await testFile(file);
      total.passed += passed;
      total.failed += failed;
    }
  }),
);
finish(chosen.length === 0 ? { passed: 0, failed: 1 } : total);
