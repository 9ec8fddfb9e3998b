/**
 * Tests the CPU kernels with every instruction set: `npm run test:levels [-- level ...]`. One that the machine lacks, and
 * that only adds a unit for matrix products, is tested with a model of the unit in plain C++. The last line is `N passed,
 * N failed`.
 */
import { join } from 'node:path';
import { ISAS } from '../runtime/ffi/environment.ts';
import { build, root } from './native.ts';

/** Parts of the names of the test files: those of forward passes, of products, and of gradients. */
const tests = [
  ...['ops/forward', 'ops/large', 'ops/functionErrors', 'ops/narrow', 'ops/products', 'ops/gradient.'],
  ...['attention', 'precision'],
];
const libraries = {
  'its kernels': join(build, 'libcastor.so'),
  'a model of its unit': join(build, 'castor_models/libcastor.so'),
};
const given = process.argv.slice(2);
const levels = ISAS.filter(isa => given.length === 0 || given.includes(isa));

const environment = (isa: string, library: string): Record<string, string | undefined> => ({
  ...process.env,
  CASTOR_ISA: isa,
  CASTOR_LIBRARY: library,
});

/** Whether a library has the kernels of an instruction set on this machine. */
function runs(isa: string, library: string): boolean {
  const print = "import { deviceInfo } from 'castor'; console.log(deviceInfo('cpu').isa)";
  const env = environment(isa, library);
  return (
    Bun.spawnSync([process.execPath, '-e', print], { cwd: root, env, stderr: 'ignore' }).stdout.toString().trim() ===
    isa
  );
}

async function run(isa: string, library: string): Promise<[passed: number, failed: number]> {
  const command = [process.execPath, join(root, 'scripts/test.ts'), '--library', library, '--jobs', '2', ...tests];
  const child = Bun.spawn(command, { cwd: root, env: environment(isa, library), stdio: ['ignore', 'pipe', 'inherit'] });
  const text = await new Response(child.stdout).text();
  process.stdout.write(text);
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(text.trimEnd().split('\n').at(-1)!) ?? [];
  const ended = (await child.exited) === 0 && passed !== undefined;
  return [Number(passed ?? 0), Number(failed ?? 0) || Number(!ended)];
}

for (const flag of [[], ['--models']])
  if (
    Bun.spawnSync([process.execPath, join(root, 'scripts/build.ts'), ...flag], {
      stdio: ['ignore', 'inherit', 'inherit'],
    }).exitCode !== 0
  )
    process.exit(1);

const total = [0, 0];
for (const isa of levels) {
  const found = Object.entries(libraries).find(([, library]) => runs(isa, library));
  console.log(`\n== ${isa}: ${found ? found[0] : 'not tested, because this machine does not have it'}`);
  if (found) (await run(isa, found[1])).forEach((count, i) => (total[i]! += count));
}
console.log(`${total[0]} passed, ${total[1]} failed`);
process.exit(total[1] === 0 && total[0]! > 0 ? 0 : 1);
