/**
 * Rehearses `npm run gpu:check` on a machine without a GPU: `npm run gpu:rehearse`. It packs the library whose device is
 * the emulator, with the programs of the tests, unpacks them elsewhere, where there are no node_modules and no git, and
 * runs the check there: as it is, with kernels that trap, hang or are killed and test files that hang or kill what runs
 * them, with a full disk, and with too little time. What each report must contain is below. The last line is
 * `N passed, N failed`.
 *
 *     --full  all cases and test files of the check, not a few of each; this takes hours
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from './gpuCheck/report.ts';
import { pack, type Programs } from './gpuPack.ts';
import { runLimited } from './limited.ts';
import { build, run, say, stop } from './native.ts';

const full = process.argv.includes('--full');
const folder = mkdtempSync(join(tmpdir(), 'castor-rehearsal-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

function program(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  return file;
}

async function buildEmulated(): Promise<Programs> {
  const lines: string[] = [];
  const emulated = [process.execPath, join(import.meta.dirname, 'build.ts'), '--emulated'];
  const targets = ['castor_kernel_tests', 'castor_conformance_emulated', 'castor_fake_cublas'];
  const rest = ['cmake', '--build', build, '-j', String(availableParallelism()), '--target', ...targets];
  for (const command of [emulated, rest])
    if (!(await run(command, line => lines.push(line)))) stop(`nothing was rehearsed\n${lines.join('\n')}`);
  return {
    library: join(build, 'castor_emulated/libcastor.so'),
    kernelTests: join(build, 'kernel_tests/castor_kernel_tests'),
    conformance: join(build, 'kernel_tests/castor_conformance_emulated'),
  };
}

interface Tools {
  readonly folder: string;
  readonly cublas: string;
}
/** Programs that a machine with a GPU has, of which these print or start what the real ones would. */
function makeTools(): Tools {
  mkdirSync(join(folder, 'tools'));
  program('tools/nvidia-smi', '#!/bin/sh\necho "Emulator, 0, 9.0, 8192"\n');
  program('tools/compute-sanitizer', '#!/bin/sh\n[ "$1" = --tool ] || exit 1\nshift 4\nexec "$@"\n');
  const parts = 'copy add softmax layerNorm unscale adamw matmul launch gpt.bf16'.split(' ').map(name => `"${name}"`);
  const answer = `{"figures": {"gpt.bf16.tokens": 1, "copy.gbps": 1}}`;
  const lines = ['#!/bin/sh', 'if [ "$1" = -c ]; then exit; fi', `echo '{"torch": "none", "parts": [${parts}]}'`];
  program('tools/torch', [...lines, `while read -r line; do echo '${answer}'; done`, ''].join('\n'));
  return { folder: join(folder, 'tools'), cublas: join(build, 'kernel_tests/libcastor_fake_cublas.so') };
}

interface Report {
  parts: Record<string, Outcome>;
}
interface Trial {
  readonly code: number | null;
  readonly text: string;
  readonly report: Report | null;
}

/** Runs the check from a pack, as a machine with a GPU would, and returns its report. */
async function trial(name: string, packed: string, tools: Tools, out: string, ...args: string[]): Promise<Trial> {
  say(`${name} ...`);
  const env = {
    PATH: `${tools.folder}:/usr/local/bin:/usr/bin:/bin`,
    CASTOR_PYTHON: join(tools.folder, 'torch'),
    // The replacement of cuBLASLt computes at once, and therefore needs streams that do so too.
    CASTOR_EMULATOR_STREAMS: 'eager',
    CASTOR_CUBLAS_LIBRARY: tools.cublas,
    CASTOR_NUM_THREADS: '1',
    CASTOR_LIBRARY: undefined,
  };
  const size = full ? ['--tiny', '--slow', '100', '--limit', '30000'] : ['--short'];
  const command = ['bash', join(packed, 'gpuCheck.sh'), '--out', out, ...size, ...args];
  const ended = await runLimited(command, { limit: 40_000, env, cwd: folder });
  const file = join(out, 'report.json');
  const report = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Report) : null;
  for (const [part, { status, seconds }] of Object.entries(report?.parts ?? {}))
    console.log(`  ${part.padEnd(12)} ${status.padEnd(10)} ${seconds.toFixed(1).padStart(6)} s`);
  return { code: ended.code, text: ended.text, report };
}

let [passed, failed] = [0, 0];
/** Counts a check, and prints what it found if it fails. */
function expect(what: string, right: boolean | undefined, found: unknown): void {
  right ? passed++ : failed++;
  if (!right) console.log(`FAILED ${what}\n    ${JSON.stringify(found)?.slice(0, 3000)}`);
}
const notesOf = (report: Report | null, part: string): string => report?.parts[part]?.notes.join('\n') ?? '';

/** All parts pass, but those that have nothing to do or are not possible here. */
async function asItIs(packed: string, tools: Tools): Promise<void> {
  const all = 'conformance,kernels,products,failing,suite,figures,pytorch,sanitizer';
  const { code, text, report } = await trial('as it is', packed, tools, join(folder, 'plain'), '--only', all);
  const wanted: Record<string, string> = { build: 'skipped', failing: 'skipped' };
  for (const part of ['build', 'probe', ...all.split(',')]) {
    const outcome = report?.parts[part];
    expect(`${part} is ${wanted[part] ?? 'passed'}`, outcome?.status === (wanted[part] ?? 'passed'), outcome);
  }
  expect('it ends with code 0', code === 0, text.slice(-3000));
  // A graph does not contain the products of the replacement of cuBLASLt, which a stream does not compute.
  const training = await trial('training', packed, { ...tools, cublas: '' }, join(folder, 'training'), '--only', 'gpt');
  expect('gpt is passed', training.report?.parts.gpt?.status === 'passed', training.report?.parts.gpt);
  expect(
    'the table has the figures',
    /^ {4}launch\.us <= 2\.5: [\d.e+]+, too small to say$/m.test(text),
    text.slice(-3000),
  );
  const log = readFileSync(join(folder, 'plain/log.txt'), 'utf8');
  expect('the log has the output of each command', /^\[kernels softmax\] \d+ passed, 0 failed$/m.test(log), log);
}

/**
 * The native tests, of which one kind loses the device, one hangs and leaves a process behind, and one is killed. The last two end in a
 * case: they are killed as soon as the file of --progress, the fourth argument, names one. A time limit might come after the last case.
 */
const injured = (real: string): string => `#!/bin/bash
end_in_a_case() {
  ${real} "$@" --sample 1 &
  until grep -q ', then [a-z]' "$4" 2>/dev/null || ! kill -0 $! 2>/dev/null; do sleep 0.01; done
  kill -KILL $!
}
case "$*" in *--after*|*--case*) exec ${real} "$@";; esac
case "$*" in
  *"--kind softmax "*) CASTOR_EMULATOR_FAULT=9 exec ${real} "$@" --sample 20;;
  *"--kind reduce "*) end_in_a_case "$@"; setsid sleep 1000 & sleep 1000;;
  *"--kind norm "*) end_in_a_case "$@"; kill -KILL $$;;
esac
exec ${real} "$@"
`;
/** The conformance program, which crashes in one group. */
const crashing = (real: string): string => `#!/bin/bash
[ "$1" = warps ] && kill -SEGV $$
exec ${real} "$@"
`;
const replaced = {
  'tests/emptyNorms.test.ts': `import { test } from 'bun:test';
test('hangs and leaves a process that holds the output', () => {
  Bun.spawn(['setsid', 'sleep', '1000'], { stdio: ['ignore', 'inherit', 'inherit'] });
  for (;;) Bun.sleepSync(1000);
});`,
  'tests/precision.test.ts': `import { test } from 'bun:test';
test('kills what runs the files', async () => {
  await Bun.sleep(6000);
  process.kill(process.ppid, 'SIGKILL');
});`,
};

async function injuredRun(packed: string, tools: Tools): Promise<void> {
  const only = 'conformance,kernels,failing,suite,sanitizer';
  const { code, text, report } = await trial('with injuries', packed, tools, join(folder, 'hurt'), '--only', only);
  expect('it ends with code 1', code === 1, text.slice(-3000));
  expect('a crash of a wrapper is named', /^warps: killed by SIGSEGV/m.test(notesOf(report, 'conformance')), report);
  expect('its other groups have answers', (report?.parts.conformance?.passed ?? 0) > 30, report?.parts.conformance);
  const kernels = notesOf(report, 'kernels');
  expect('a lost device is named with its case', /softmax: the device is lost in \w+/.test(kernels), kernels);
  expect('a hang is named with its case', /reduce: stopped after \d+ s in \w+/.test(kernels), kernels);
  expect('a kill is named with its case', /norm: killed by SIGKILL in \w+/.test(kernels), kernels);
  const { failures = [], kinds = 0 } = (report?.parts.kernels?.details ?? {}) as {
    failures?: object[];
    kinds?: number;
  };
  expect('each of the three is a failed case', failures.length >= 3 && kinds > 20, failures);
  const log = readFileSync(join(folder, 'hurt/log.txt'), 'utf8');
  for (const kind of ['softmax', 'reduce', 'norm']) {
    const behind = new RegExp(`^\\[kernels ${kind}\\] \\$ .*--after`, 'm').test(log);
    expect(`${kind} goes on behind its case`, behind, log.slice(0, 3000));
  }
  const { examined = [] } = (report?.parts.failing?.details ?? {}) as { examined?: { alonePassed: boolean }[] };
  expect(
    'failed cases are examined alone, and pass there',
    examined.length >= 3 && examined.every(each => each.alonePassed),
    examined,
  );
  const suite = report?.parts.suite;
  expect('a killed suite has failed, with the files that had ended', suite?.status === 'failed', suite);
  expect(
    'the files that had ended count',
    (suite?.passed ?? 0) > 0 && /killed by SIGKILL/.test(notesOf(report, 'suite')),
    suite,
  );
  expect('later parts run', report?.parts.sanitizer?.status === 'passed', report?.parts.sanitizer);
}

/** From a tree with sources and a pack beside them: the bun of the pack is used, and the library would be built. */
async function bunOfThePack(packed: string): Promise<void> {
  const tree = join(folder, 'tree');
  mkdirSync(tree);
  await runLimited(['tar', 'xf', join(packed, 'castor.tar.xz'), '-C', tree], { limit: 300 });
  symlinkSync(packed, join(tree, '.gpu'));
  const command = ['bash', join(tree, 'scripts/gpuCheck.sh'), '--only', 'none'];
  const { text } = await runLimited(command, { limit: 300, env: { PATH: '/usr/local/bin:/usr/bin:/bin' } });
  expect('the bun of the pack runs the check of a tree', text.includes("there is no part 'none'"), text);
}

/** Nothing can be written: the report is printed. */
async function fullDisk(packed: string, tools: Tools): Promise<void> {
  const out = join(folder, 'full');
  mkdirSync(out);
  const files = ['log.txt', 'table.txt', 'report.json.partial', 'figures.json.partial'];
  for (const file of files) symlinkSync('/dev/full', join(out, file));
  const { code, text } = await trial('with a full disk', packed, tools, out, '--only', 'conformance,figures');
  const printed = text.split('\n').find(line => line.startsWith('{'));
  const report = printed ? (JSON.parse(printed) as Report) : null;
  expect('it ends with code 1', code === 1, text.slice(-3000));
  expect('the printed report has the results', report?.parts.conformance?.status === 'passed', text.slice(-3000));
  const figures = notesOf(report, 'figures');
  expect('the figures are in it', /^launch\.us +[\d.]+/m.test(figures), figures);
  expect('it says what is not written', /^report\.json is not written: ENOSPC/m.test(text), text.slice(-3000));
}

/** The time is up in the middle of a part. */
async function tooLittleTime(packed: string, tools: Tools): Promise<void> {
  const out = join(folder, 'late');
  const { code, text, report } = await trial(
    'with too little time',
    packed,
    tools,
    out,
    '--limit',
    '22',
    '--only',
    'kernels,gpt',
  );
  expect('it ends by itself', code === 1, [code, text.slice(-3000)]);
  expect('what was not begun is incomplete', report?.parts.gpt?.status === 'incomplete', report);
  expect('there is a table', /^gpt +incomplete/m.test(text), text.slice(-3000));
}

const start = performance.now();
const programs = await buildEmulated();
const tools = makeTools();
const [whole, hurt] = [join(folder, 'pack'), join(folder, 'hurtPack')];
await pack(whole, programs, 0);
const took = (performance.now() - start) / 1000;
say(`packed in ${took.toFixed(0)} s`);
await asItIs(whole, tools);
await fullDisk(whole, tools);
await bunOfThePack(whole);
mkdirSync(hurt);
for (const file of ['bun.xz', 'bun.version']) copyFileSync(join(whole, file), join(hurt, file));
const wrapped = {
  ...programs,
  kernelTests: program('injured', injured(programs.kernelTests)),
  conformance: program('crashing', crashing(programs.conformance)),
  replaced,
};
await pack(hurt, wrapped, 0);
await injuredRun(hurt, tools);
await tooLittleTime(hurt, tools);
say(`rehearsed in ${((performance.now() - start) / 1000).toFixed(0)} s`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
