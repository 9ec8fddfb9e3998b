/**
 * Shows where the compiler spends its time: `npm run build:times`. Builds the library for the CPU in a copy of the project, without ccache, and
 * prints the seconds of CPU time of the slowest files, of all together, and of what is compiled again after a change to kernels/unary.inc.
 * CPU time, because it says the same on a machine that is busy.
 */
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { Copy } from './addOp.ts';
import { findTools, say, stop } from './native.ts';

/** Runs one command of the compiler, as CMake's launcher, and notes its time. */
function launch(log: string, command: readonly string[]): never {
  const { exitCode, resourceUsage } = Bun.spawnSync([...command], { stdio: ['ignore', 'inherit', 'inherit'] });
  const { user, system } = resourceUsage.cpuTime;
  const object = command[command.indexOf('-o') + 1]!;
  appendFileSync(log, `${(Number(user) + Number(system)) / 1e6} ${object}\n`);
  process.exit(exitCode);
}

interface Compiled {
  readonly seconds: number;
  readonly file: string;
}
async function build(copy: Copy, log: string): Promise<Compiled[]> {
  rmSync(log, { force: true });
  const { code, text } = await copy.run(
    ...['cmake', '--build', 'build', '--target', 'castor', '-j', String(availableParallelism())],
  );
  if (code !== 0) stop(text);
  if (!existsSync(log)) stop('nothing was compiled');
  return readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map(line => {
      const [seconds, object] = line.split(' ') as [string, string];
      const target = /(\w+)\.dir/.exec(object)?.[1] ?? '';
      return { seconds: Number(seconds), file: `${target} ${basename(object, '.o')}` };
    });
}
const sum = (files: readonly Compiled[]): string => files.reduce((all, { seconds }) => all + seconds, 0).toFixed(1);

async function measure(): Promise<void> {
  const copy = new Copy();
  try {
    const log = join(copy.folder, 'build/times');
    const { compiler, generator } = findTools();
    const launcher = [process.execPath, import.meta.path, '--launch', log].join(';');
    const flags = [
      `-DCMAKE_CXX_COMPILER=${compiler}`,
      `-DCMAKE_CXX_COMPILER_LAUNCHER=${launcher}`,
      '-DCASTOR_CUDA=OFF',
    ];
    const { code, text } = await copy.run('cmake', '-S.', '-Bbuild', '-G', generator, ...flags);
    if (code !== 0) stop(text);
    const all = await build(copy, log);
    for (const { seconds, file } of all.toSorted((a, b) => b.seconds - a.seconds).slice(0, 12))
      console.log(`${seconds.toFixed(1).padStart(7)} s  ${file}`);
    say(`the whole build: ${sum(all)} seconds of CPU time, ${all.length} files`);
    appendFileSync(join(copy.folder, 'kernels/unary.inc'), '// A change.\n');
    const again = await build(copy, log);
    say(`after a change to kernels/unary.inc: ${sum(again)} seconds of CPU time, ${again.length} files`);
  } finally {
    copy.remove();
  }
}

const [flag, log, ...command] = process.argv.slice(2);
if (flag === '--launch') launch(log!, command);
await measure();
