import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dir, '..');

export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a TypeScript program to its end, in a process of its own. */
export async function run(file: string, args: readonly string[] = [], cwd = root): Promise<Finished> {
  return finished(start(file, args, cwd));
}

export const start = (
  file: string,
  args: readonly string[] = [],
  cwd = root,
): Bun.Subprocess<'ignore', 'pipe', 'pipe'> =>
  Bun.spawn([process.execPath, join(cwd, file), ...args], { cwd, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });

export async function finished(child: Bun.Subprocess<'ignore', 'pipe', 'pipe'>): Promise<Finished> {
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, stdout, stderr };
}
