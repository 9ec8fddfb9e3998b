/** Deno and Node of npm's packages, which tests/runtimes/ has a package of its own for. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Runtime } from '../tests/runtimes/leftOut.ts';
import { root, stop } from './native.ts';

export const folder = join(root, 'tests/runtimes');

/** Newer than the lock file if it was installed after it last changed. */
function isInstalled(): boolean {
  const [installed, lock] = ['node_modules/.package-lock.json', 'package-lock.json'].map(name => join(folder, name));
  return existsSync(installed!) && statSync(installed!).mtimeMs >= statSync(lock!).mtimeMs;
}

/** Installs the runtimes, unless they are. No script of a package is run: Deno's would only copy its program. */
export function installRuntimes(): void {
  if (isInstalled()) return;
  const command = ['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  const { exitCode } = Bun.spawnSync(command, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  if (exitCode !== 0) stop(`${command.join(' ')} failed in tests/runtimes`);
}

const programs: Readonly<Record<Runtime, string>> = {
  deno: `@deno/linux-${process.arch}-glibc/deno`,
  node: `node-linux-${process.arch}/bin/node`,
};
/** Returns the path of the program of a runtime. It has to be installed. */
export function programOf(runtime: Runtime): string {
  const path = join(folder, 'node_modules', programs[runtime]);
  return existsSync(path) ? path : stop(`there is no ${runtime} for this machine: ${path} is missing`);
}
