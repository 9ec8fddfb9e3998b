import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeJson } from '../scripts/native.ts';
import type { Row } from './report.ts';
import type { Clock } from './clocks.ts';

const folder = join(import.meta.dirname, 'results');

/** When and with what a part was measured. */
export interface Taken {
  readonly date: string;
  readonly castor: string;
  readonly bun: string;
  /** null if PyTorch was not measured. */
  readonly torch: string | null;
  readonly rounds: number;
  readonly clock: Clock;
  /** The share of the time in which Castor's thread waited for a processor that other programs used. 0 on a quiet machine. */
  readonly waited: number;
}

export interface MeasuredPart {
  readonly taken: Taken;
  readonly figures: readonly Row[];
}

/** The figures of one machine at one level. */
export interface Results {
  readonly machine: string;
  readonly level: string;
  readonly processors: number;
  /** How products of each dtype are computed: deviceInfo('cpu').products. */
  readonly products: Readonly<Record<string, string>>;
  readonly parts: Readonly<Record<string, MeasuredPart>>;
}

/** The name of a machine in a file name: letters and digits. */
export const slug = (text: string): string =>
  text
    .replace(/\((R|TM)\)/gi, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

export const fileOf = ({ machine, level }: Pick<Results, 'machine' | 'level'>): string =>
  `cpu-${slug(machine)}-${level}.json`;

const read = (file: string): Results => JSON.parse(readFileSync(file, 'utf8')) as Results;

/** All committed results, by the names of their files. */
export const allResults = (): Results[] =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter(name => /^cpu-.*\.json$/.test(name))
        .toSorted()
        .map(name => read(join(folder, name)))
    : [];

/** Writes figures to the file of their machine and level. Parts that were measured before and are not among them stay. */
export function save(about: Omit<Results, 'parts'>, parts: Results['parts']): string {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, fileOf(about));
  const before = existsSync(file) ? read(file).parts : {};
  writeJson(file, { ...about, parts: { ...before, ...parts } });
  return file;
}
