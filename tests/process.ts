import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '..');

export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a TypeScript program to its end in another process. */
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

/**
 * The lines that a short program prints, in a process with other settings. Castor's public names are in scope as `c`.
 */
export async function printed(lines: string, settings: Record<string, string> = {}): Promise<string[]> {
  const code = `const c = await import(${JSON.stringify(join(root, 'runtime/index.ts'))});
    const print = (...values) => console.log(values.join(' '));
    const failure = call => { try { call(); return 'nothing'; } catch (error) { return error.name + ': ' + error.message; } };
    ${lines}`;
  const env = { ...process.env, ...settings };
  const child = Bun.spawn([process.execPath, '-e', code], {
    cwd: root,
    env,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const { exitCode, stdout, stderr } = await finished(child);
  if (exitCode !== 0) throw new Error(`exit code ${exitCode}\n${stderr}`);
  return stdout.trim().split('\n');
}
