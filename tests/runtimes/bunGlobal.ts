/** What the tests use of the global `Bun`, on Deno and Node. Tests of Bun itself are left out there, so this is little. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { inspect, isDeepStrictEqual, stripVTControlCharacters } from 'node:util';
import { crc32 } from 'node:zlib';
import { createHash } from 'node:crypto';
import { collectorOfV8 } from '../../runtime/ffi/collector.ts';
import { argumentsFor } from './commands.ts';
import { serve } from './serve.ts';

/** Writes a program given as text to a file, because it imports modules and has types. */
function fileOf(code: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'castor-program-')), 'program.ts');
  writeFileSync(path, code);
  writeFileSync(join(path, '../package.json'), '{ "type": "module" }');
  return path;
}
/** A command that runs a program with this runtime, as Bun takes it, in the form that this runtime takes. */
function translated(command: readonly string[]): string[] {
  const at = command.indexOf(process.execPath);
  if (at < 0) return [...command];
  const [first, ...args] = command.slice(at + 1);
  const [file, rest] = first === '-e' ? [fileOf(args[0]!), args.slice(1)] : [first!, args];
  return [...command.slice(0, at + 1), ...argumentsFor(file), ...rest];
}

interface SpawnOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly stdin?: 'ignore';
  readonly stdout?: 'pipe' | 'ignore';
  readonly stderr?: 'pipe' | 'inherit' | 'ignore';
}
function started(command: readonly string[], options: SpawnOptions = {}): object {
  const [file, ...args] = translated(command);
  const { stdin = 'ignore', stdout = 'pipe', stderr = 'inherit', cwd, env } = options;
  const child: ChildProcess = spawn(file!, args, {
    cwd,
    env: { ...(env ?? process.env) },
    stdio: [stdin, stdout, stderr],
  });
  const exited = new Promise<number>(resolve => child.on('close', code => resolve(code ?? 128)));
  const web = (stream: Readable | null): unknown => stream && Readable.toWeb(stream);
  return {
    pid: child.pid,
    stdout: web(child.stdout),
    stderr: web(child.stderr),
    exited,
    // After child.kill(), Deno says of every child that the signal has ended it, also of one that has handled it.
    kill: (signal?: number | NodeJS.Signals) =>
      child.exitCode === null && child.signalCode === null && process.kill(child.pid!, signal ?? 'SIGTERM'),
    get exitCode() {
      return child.exitCode;
    },
    get signalCode() {
      return child.signalCode;
    },
  };
}

function finishedAtOnce(command: readonly string[], { cwd, env }: SpawnOptions = {}): object {
  const [file, ...args] = translated(command);
  const { status, stdout, stderr } = spawnSync(file!, args, { cwd, env: { ...(env ?? process.env) } });
  return { exitCode: status, success: status === 0, stdout, stderr };
}

const hash = (data: Uint8Array | string): string =>
  createHash('sha256')
    .update(typeof data === 'string' ? data : new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');

const collect = collectorOfV8();

export const bun = {
  sleep: (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds)),
  sleepSync: (milliseconds: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds),
  spawn: started,
  spawnSync: finishedAtOnce,
  serve,
  deepEquals: (a: unknown, b: unknown) => isDeepStrictEqual(a, b),
  gc: (full: boolean) => collect?.(full),
  inspect,
  stripANSI: stripVTControlCharacters,
  hash: Object.assign(hash, { crc32: (text: string) => crc32(text) }),
  which: () => null,
  /** The time limit of a test is that of setDefaultTimeout(), for every file: each has a process of its own. */
  plugin: () => {},
};
