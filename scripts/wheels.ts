/** Downloads tools that are published as Python wheels into folders of the user's cache. Nothing of the system is changed. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';

export const caches = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'castor');

/** Removes the folders of interrupted downloads, whose processes have ended. */
function removeLeftovers(folder: string): void {
  for (const name of readdirSync(caches).filter(each => each.startsWith(`${basename(folder)}.partial-`))) {
    try {
      process.kill(Number(name.split('-').at(-1)), 0);
    } catch {
      rmSync(join(caches, name), { recursive: true, force: true });
    }
  }
}

/**
 * Downloads wheels into a folder, unless it is there already. It gets its name only when it is complete.
 *
 * @throws Error if Python or its pip is missing, or pip fails
 */
export async function download(
  what: string,
  folder: string,
  list: readonly string[],
  say: (text: string) => void,
): Promise<void> {
  if (existsSync(folder)) return say(`${what} is in ${folder}`);
  const python = Bun.which('python3');
  if (!python || Bun.spawnSync([python, '-m', 'pip', '--version']).exitCode !== 0)
    throw new Error(`python3 with pip is needed to fetch ${what}; install it: sudo apt-get install python3-pip`);
  mkdirSync(caches, { recursive: true });
  removeLeftovers(folder);
  const partial = `${folder}.partial-${process.pid}`;
  say(`fetching ${what} (${list.join(' ')}) into ${folder}`);
  const options = ['--quiet', '--no-deps', '--no-compile', '--target', partial];
  const command = [python, '-m', 'pip', 'install', ...options, ...list];
  try {
    const env = { ...process.env, PIP_ROOT_USER_ACTION: 'ignore' };
    const pip = Bun.spawn(command, { env, stdout: 'inherit', stderr: 'inherit' });
    if ((await pip.exited) !== 0) throw new Error(`pip failed; what was tried: ${command.slice(1).join(' ')}`);
    // Another process may have been faster.
    if (!existsSync(folder)) renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}
