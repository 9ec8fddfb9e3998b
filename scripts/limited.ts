/** Runs a command under a limit of time that holds whatever its processes do. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { root } from './native.ts';

export interface Ended {
  /** The output and the error output in the order in which they came. Of a long one the end. */
  readonly text: string;
  /** Null if a signal ended the process, or if it could not be ended. */
  readonly code: number | null;
  readonly signal: string | null;
  readonly seconds: number;
  /** Whether the limit was reached. */
  readonly stopped: boolean;
}
export interface Limits {
  /** The number of seconds after which the command and what it has started are ended. */
  readonly limit: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  onText?(text: string): void;
}

/** The characters of the output that are kept. */
const KEPT = 4 << 20;
/**
 * Seconds: from the signal that a process may handle to the one that it cannot, and from that, or from the end of the
 * process, until the output is no longer waited for. A process that has left the group may hold the pipe for ever.
 */
const [POLITE, GRACE] = [3, 2];

/** A variable that all processes inherit, by which those that have left their group are found. */
const MARK = 'CASTOR_LIMITED_RUN';
const own = `${process.pid}-${Date.now()}`;
/** It also says which programs have started this one, if those use this module too. */
const mark = [process.env[MARK], own].filter(Boolean).join(',');

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // The group has ended.
  }
}

/** Ends every process that a command of this program has started and that is still there. Returns their number. */
export function endLeftovers(): number {
  const marked = readdirSync('/proc').filter(name => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, 'latin1').includes(own);
    } catch {
      return false;
    }
  });
  for (const name of marked)
    try {
      process.kill(Number(name), 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  return marked.length;
}

/** Resolves when the process has ended and its output is complete, or when neither is waited for any longer. */
function endOf(child: ChildProcess, limit: number, onStop: () => void): Promise<void> {
  const timers: Timer[] = [];
  const after = (seconds: number, fn: () => void): void => void timers.push(setTimeout(fn, seconds * 1000));
  return new Promise<void>(resolve => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
    child.once('exit', () => after(GRACE, resolve));
    after(limit, () => {
      if (child.exitCode === null && child.signalCode === null) onStop();
      signalGroup(child, 'SIGTERM');
    });
    after(limit + POLITE, () => signalGroup(child, 'SIGKILL'));
    after(limit + POLITE + GRACE, resolve);
  }).finally(() => {
    for (const timer of timers) clearTimeout(timer);
    signalGroup(child, 'SIGKILL');
    child.stdout?.destroy();
    child.unref();
  });
}

/** A signal from the terminal does not reach processes in groups of their own. */
let watching = false;
function passSignalsOn(): void {
  if (watching) return;
  watching = true;
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)
    process.once(signal, () => {
      endLeftovers();
      process.exit(code);
    });
}

/** Runs a command in a process group of its own. Never throws: a command that is not there ends with code 127. */
export async function runLimited(command: readonly string[], { limit, env, cwd, onText }: Limits): Promise<Ended> {
  passSignalsOn();
  const start = performance.now();
  const child = spawn('sh', ['-c', 'exec "$@" 2>&1', 'sh', ...command], {
    cwd: cwd ?? root,
    env: { ...process.env, ...env, [MARK]: mark },
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  const decoder = new TextDecoder();
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const piece = decoder.decode(chunk, { stream: true });
    text = (text + piece).slice(-KEPT);
    onText?.(piece);
  });
  let stopped = false;
  await endOf(child, limit, () => (stopped = true));
  const seconds = (performance.now() - start) / 1000;
  return { text, code: child.exitCode, signal: child.signalCode, seconds, stopped };
}

/** How a process ended, for people: null if it ended with code 0. */
export function endedHow({ code, signal, stopped, seconds }: Ended): string | null {
  if (stopped) return `stopped after ${seconds.toFixed(0)} s`;
  if (signal) return `killed by ${signal}`;
  return code === 0 ? null : `ended with code ${code}`;
}
