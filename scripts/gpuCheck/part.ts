/** The interface of a part of the check, and the functions that the parts share. */
import { endedHow, runLimited, type Ended } from '../limited.ts';
import { elapsed, options, paths, remaining } from './options.ts';
import { emptyOutcome, logLine, logOf, outcomes, saveReport, type Outcome } from './report.ts';

export interface Part {
  /** The number of seconds after which its commands are ended. */
  readonly limit: number;
  /** Fills in the outcome as results come, so that a part that is cut off has those that it had. */
  run(shell: Shell, outcome: Outcome): Promise<void>;
}
/** Runs a command of a part, at most for so many seconds, and at most as long as the part may. */
export type Shell = (
  name: string,
  command: readonly string[],
  options?: { limit?: number; env?: Record<string, string | undefined> },
) => Promise<Ended>;

export const bun = process.execPath;
export const lastLines = (text: string, n = 5): string => text.trimEnd().split('\n').slice(-n).join('\n');

export function skip(outcome: Outcome, why: string): void {
  outcome.status = 'skipped';
  outcome.notes.push(why);
}
export function note(outcome: Outcome, ...notes: string[]): void {
  outcome.status = 'failed';
  outcome.notes.push(...notes);
}
/** Notes how a command ended, with the last lines of its output, unless it ended well. */
export function noteEnd(outcome: Outcome, name: string, ended: Ended, lines = 8): void {
  const how = endedHow(ended);
  if (how) note(outcome, `${name}: ${how}: ${lastLines(ended.text, lines)}`);
}

/** The numbers of the last line `N passed, N failed`, or null if there is none. */
export function countsIn(text: string): { passed: number; failed: number } | null {
  const match = [...text.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1);
  return match ? { passed: Number(match[1]), failed: Number(match[2]) } : null;
}

function shellOf(part: string, limit: number): Shell {
  const end = elapsed() + Math.min(limit, remaining());
  return (name, command, { limit: own = limit, env = {} } = {}) => {
    const seconds = Math.max(1, Math.min(own * options.slow, end - elapsed()));
    const title = name === part ? part : `${part} ${name}`;
    const settings = Object.entries(env).map(([key, value]) => `${key}=${value} `);
    logLine(`[${title}] $ ${settings.join('')}${command.join(' ')}`);
    const variables = { CASTOR_LIBRARY: paths.library, ...env };
    return runLimited(command, { limit: seconds, env: variables, onText: logOf(title) });
  };
}

/** Resolves when the part ends, or 20 s after its limit: its commands have been ended by then, so it has lost its way. */
async function orLost(running: Promise<void>, limit: number): Promise<void> {
  let timer: Timer | undefined;
  const lost = new Promise<never>((_, reject) => {
    const seconds = Math.max(1, Math.min(limit + 20, remaining() + 4));
    timer = setTimeout(() => reject(new Error(`the part has not ended after ${seconds.toFixed(0)} s`)), seconds * 1000);
  });
  await Promise.race([running, lost]).finally(() => clearTimeout(timer));
}

/** Runs a part and writes the report. A part whose time is up is incomplete. */
export async function runPart(name: string, part: Part): Promise<Outcome> {
  const outcome = (outcomes[name] = emptyOutcome());
  const start = elapsed();
  const limit = Math.min(part.limit * options.slow, remaining());
  if (limit < 3) {
    outcome.status = 'incomplete';
    outcome.notes.push('the time was up');
  } else
    try {
      await orLost(part.run(shellOf(name, limit), outcome), limit);
    } catch (error) {
      note(outcome, String((error as Error).stack));
    }
  outcome.seconds = elapsed() - start;
  if (outcome.failed > 0) outcome.status = 'failed';
  saveReport();
  return outcome;
}
