/**
 * Builds the libraries of other platforms and tests each in that platform's own Bun: `npm run test:platforms [-- name ...]
 * [--whole]`, of the suite a part, or the whole. That for arm64 runs under qemu-user. Before, each instruction set must be
 * the one that g++'s library chooses, and give the same bits. The last line is `N passed, N failed`.
 */
import { join } from 'node:path';
import { ISAS } from '../runtime/ffi/environment.ts';
import { build, root, say, stop, testFiles } from './native.ts';
import { buildPlatform, platforms, type Platform } from './platforms.ts';
import { foreignBun } from './platforms/foreignBun.ts';

/** Parts of the names of the test files that run for every change. */
const PART = [
  ...['tests/tensor.', 'tests/random.', 'tests/autograd.', 'tests/nn.', 'tests/gradScaler.', 'tests/creation.'],
  ...['tests/attention.', 'ops/products.', 'ops/smallest.'],
];
/** Test files that look at the sources of this checkout, or at tools and programs of this machine, and not at the library. */
const OWN =
  /^tests\/(structure|format|declarations|docs|hover|scripts|mutants|addOp|sass|gpu|bench|fuzz|parity|launches|performancePage|cublas|apiReference|abiTexts|headerNumbers|kernelRules|timeLimit|limited|twoGpus|buildFolder|machO|machine\/machine|serve\/bench)/;

type Count = readonly [passed: number, failed: number];

interface Fingerprint {
  readonly isa: string;
  readonly bits: string;
}

/** What scripts/platforms/bits.ts prints with a library, and with an instruction set that CASTOR_ISA names. */
function fingerprint(bun: string, library: string, isa?: string): Fingerprint {
  const env = { ...process.env, CASTOR_LIBRARY: library, NODE_NO_WARNINGS: '1', CASTOR_ISA: isa };
  const { stdout, stderr } = Bun.spawnSync([bun, 'scripts/platforms/bits.ts'], { cwd: root, env, stderr: 'pipe' });
  const line = stdout.toString().trim().split('\n').at(-1) ?? '';
  return line.startsWith('{') ? (JSON.parse(line) as Fingerprint) : stop(`no fingerprint:\n${stderr.toString()}`);
}

const own = join(build, 'libcastor.so');

/** Each instruction set of the platform against that of g++'s library. */
function compare({ cpu }: Platform, bun: string, library: string): Count {
  const known = cpu === 'x64' ? [undefined, ...ISAS] : [undefined, 'generic'];
  const outcomes = known.map(isa => {
    const expected = fingerprint(process.execPath, own, cpu === 'x64' ? isa : 'generic');
    const actual = fingerprint(bun, library, isa);
    const same = actual.isa === expected.isa && actual.bits === expected.bits;
    const told = `${isa ?? 'the default'}: ${actual.isa} ${actual.bits}`;
    console.log(same ? told : `${told}, but g++'s library has ${expected.isa} ${expected.bits}`);
    return same;
  });
  return [outcomes.filter(Boolean).length, outcomes.filter(same => !same).length];
}

/** The test files that run: a part of them, or all that are about the library. */
const chosen = (whole: boolean): readonly string[] => (whole ? testFiles().filter(file => !OWN.test(file)) : PART);

async function suite(bun: string, library: string, whole: boolean): Promise<Count> {
  const command = [process.execPath, 'scripts/test.ts', '--library', library, '--bun', bun, '--jobs', '2'];
  // An emulator is slow, most of all where a test starts many processes.
  const env = { ...process.env, CASTOR_TEST_LIMIT: '600000' };
  const child = Bun.spawn([...command, ...chosen(whole)], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const text = await new Response(child.stdout).text();
  process.stdout.write(text);
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(text.trimEnd().split('\n').at(-1)!) ?? [];
  const ended = (await child.exited) === 0 && passed !== undefined;
  return [Number(passed ?? 0), Number(failed ?? 0) || Number(!ended)];
}

const flags = process.argv.slice(2);
const whole = flags.includes('--whole');
const names = flags.filter(flag => !flag.startsWith('--'));
const zig = platforms.filter(({ target }) => target !== undefined);
const wanted = names.length === 0 ? zig : zig.filter(({ name }) => names.includes(name));
if (wanted.length < names.length) stop(`there are ${zig.map(({ name }) => name).join(', ')}`);
if (Bun.spawnSync([process.execPath, 'scripts/build.ts'], { cwd: root, stdout: 'inherit' }).exitCode !== 0)
  stop('the build failed');

/** The Bun of a platform, or null where none can run here, which is said. */
const bunFor = ({ name }: Platform): Promise<string | null> =>
  foreignBun(name).catch((error: unknown) => {
    console.log(`${name} is checked, but not run, because its Bun cannot run here: ${(error as Error).message}`);
    return null;
  });

async function testOne(platform: Platform): Promise<readonly Count[]> {
  const start = performance.now();
  console.log(`\n== ${platform.name}`);
  const { file } = await buildPlatform(platform);
  say(`built in ${((performance.now() - start) / 1000).toFixed(0)} s`);
  const bun = await bunFor(platform);
  // A library that no Bun here can load counts as one test: the file was checked when it was built.
  return bun === null ? [[1, 0]] : [compare(platform, bun, file), await suite(bun, file, whole)];
}

const total = [0, 0];
for (const platform of wanted) {
  const counts = await testOne(platform).catch((error: unknown): readonly Count[] => {
    console.log((error as Error).message);
    return [[0, 1]];
  });
  for (const count of counts) count.forEach((n, i) => (total[i]! += n));
}
console.log(`${total[0]} passed, ${total[1]} failed`);
process.exit(total[1] === 0 && total[0]! > 0 ? 0 : 1);
