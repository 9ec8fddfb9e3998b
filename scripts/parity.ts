/**
 * Runs random programs in PyTorch and in Castor: `npm run parity -- --fuzz 2000 --seed 1`. Values, shapes, dtypes,
 * gradients and errors are compared, and each program with a difference is printed. It needs a python3 with PyTorch, or
 * `--python` with the path of one.
 */
import { resolve } from 'node:path';
import { setDefaultDevice, tidy, warnings } from 'castor';
import { parseOptions, text, whole, type OptionTable } from '../runtime/train/options.ts';
import { disagreement, shown, type Program } from './parity/compare.ts';

/** The programs, written by PyTorch, or null if there is no PyTorch. */
function programs(python: string, count: number, seed: number): Program[] | null {
  const command = [python, resolve(import.meta.dir, 'parity/programs.py'), String(count), String(seed)];
  if (Bun.which(python) === null) return null;
  const { exitCode, stdout, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0 && /No module named 'torch'/.test(stderr.toString())) return null;
  if (exitCode !== 0) throw new Error(stderr.toString());
  return stdout
    .toString()
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Program);
}

const table = {
  fuzz: whole(2000, 'programs to run'),
  seed: whole(1, 'decides all programs', 0),
  python: text('python3', 'a Python that has PyTorch'),
} satisfies OptionTable;

/** Runs programs and prints those with differences. Returns their number. */
function compared(found: readonly Program[]): number {
  let differing = 0;
  for (const program of found) {
    const wrong = tidy(() => disagreement(program));
    if (wrong === null) continue;
    differing++;
    console.log(`program ${program.number} (${program.family}): ${wrong}\n${shown(program)}`);
  }
  console.log(`castor: ${found.length} programs, ${differing} differ from PyTorch`);
  return differing;
}

function main(): number {
  const options = parseOptions(table, process.argv.slice(2));
  if (options === null) {
    console.log('npm run parity -- [--fuzz N] [--seed S] [--python PYTHON]');
    return 0;
  }
  const found = programs(options.python ?? 'python3', options.fuzz, options.seed);
  if (found === null) {
    console.error('castor: parity needs python3 with torch (pip install torch); --python names another Python');
    return 2;
  }
  setDefaultDevice('cpu');
  warnings.disable();
  return compared(found) === 0 ? 0 : 1;
}

process.exitCode = main();
