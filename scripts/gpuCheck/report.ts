/** The report of the check: it is written after each part, and shown as a table at the end. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { writeJson } from '../native.ts';
import { elapsed, options } from './options.ts';

export interface Outcome {
  /** incomplete: not started, or not finished, because the time was up. */
  status: 'passed' | 'failed' | 'skipped' | 'incomplete';
  passed: number;
  failed: number;
  seconds: number;
  /** The reason why it was skipped, or what failed. */
  notes: string[];
  /** Lines that the table shows whatever the status is. */
  shown: string[];
  /** Further results, by name. */
  details: Record<string, unknown>;
}
export const emptyOutcome = (): Outcome => ({
  status: 'passed',
  passed: 0,
  failed: 0,
  seconds: 0,
  notes: [],
  shown: [],
  details: {},
});

export const outcomes: Record<string, Outcome> = {};
const about: Record<string, unknown> = {};
/** Adds facts about the machine to the report. */
export const describe = (facts: Record<string, unknown>): void => void Object.assign(about, facts);

/** Why something could not be written, for each file. The check goes on: it prints the report as well. */
export const unwritten: Record<string, string> = {};
/** Writes a file, or a part of it. What is missing of a file that is written in parts stays missing. */
function attempt(file: string, write: () => void, how: 'whole' | 'part' = 'whole'): void {
  try {
    write();
    if (how === 'whole') delete unwritten[file];
  } catch (error) {
    unwritten[file] = (error as Error).message;
  }
}

const fileOf = (name: string): string => join(options.out, name);
attempt(options.out, () => mkdirSync(options.out, { recursive: true }));

const content = (): object => ({ ...about, seconds: elapsed(), parts: outcomes });
/** Writes report.json. */
export const saveReport = (): void => attempt('report.json', () => writeJson(fileOf('report.json'), content()));

let log: number | null = null;
attempt('log.txt', () => (log = openSync(fileOf('log.txt'), 'w')));
/** Adds a line to log.txt. */
export function logLine(line: string): void {
  if (log !== null) attempt('log.txt', () => writeSync(log!, `${line}\n`), 'part');
}

/** The characters of one command that the log keeps. */
const KEPT = 256 << 10;
/** Returns a function that adds the output of a command to the log as it comes. Each line begins with the name. */
export function logOf(name: string): (text: string) => void {
  let [rest, size] = ['', 0];
  return text => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!.slice(-4096);
    for (const line of lines) {
      if (size < KEPT) logLine(`[${name}] ${line}`);
      else if (size < Infinity) logLine(`[${name}] ... the rest is left out`);
      size = size < KEPT ? size + line.length : Infinity;
    }
  };
}

function rowOf([name, { status, passed, failed, seconds, notes, shown }]: [string, Outcome]): string[] {
  const counts = passed + failed > 0 ? `${passed} passed, ${failed} failed` : '';
  const row = `${name.padEnd(12)} ${status.padEnd(10)} ${seconds.toFixed(0).padStart(4)} s  ${counts}`;
  const lines = [...(status === 'passed' ? [] : notes.slice(0, 8)), ...shown];
  return [row, ...lines.map(line => `    ${line.replaceAll('\n', '\n    ')}`)];
}

/** Prints the table and writes it. If the report could not be written, it is printed. */
export function finish(): void {
  saveReport();
  const table = Object.entries(outcomes).flatMap(rowOf).join('\n');
  attempt('table.txt', () => {
    const file = openSync(fileOf('table.txt'), 'w');
    writeSync(file, `${table}\n`);
    closeSync(file);
  });
  const wrong = Object.entries(unwritten);
  if (wrong.length > 0) console.log(`\nthe report, because not all was written:\n${JSON.stringify(content())}`);
  console.log(`\n${table}\n`);
  for (const [file, why] of wrong) console.log(`${file} is not written: ${why}`);
  console.log(`${elapsed().toFixed(0)} s; report.json, table.txt and log.txt are in ${options.out}`);
}
