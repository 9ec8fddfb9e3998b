import { parseArgs } from 'node:util';
import { isLevel, levels, type Level } from './levels.ts';
import type { Clock } from './clocks.ts';

/** The options of `npm run bench`. */
export interface Options {
  readonly json: boolean;
  readonly save: boolean;
  readonly full: boolean;
  readonly torch: boolean;
  readonly tiny: boolean;
  readonly help: boolean;
  /** Numbers of threads, fewest first. */
  readonly threads: readonly number[];
  readonly rounds: number;
  readonly clock: Clock;
  readonly levels: readonly Level[];
  /** The names of parts or figures. Empty for all. */
  readonly names: readonly string[];
}

function whole(text: string, name: string): number {
  if (!/^[1-9]\d{0,2}$/.test(text)) throw new Error(`--${name} is '${text}', and not a whole number from 1 to 999`);
  return Number(text);
}

function levelNamed(text: string): Level {
  if (!isLevel(text)) throw new Error(`there is no level '${text}'; there are ${levels.join(', ')}`);
  return text;
}

const flag = { type: 'boolean', default: false } as const;
/** @throws Error for an option that does not exist, or a value that is not valid */
export function readOptions(args: readonly string[], processors: number): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: flag,
      save: flag,
      full: flag,
      'no-torch': flag,
      tiny: flag,
      help: flag,
      'processor-time': flag,
      threads: { type: 'string' },
      rounds: { type: 'string', default: '7' },
      level: { type: 'string' },
    },
  });
  const { json, save, full, tiny, help } = values;
  if (tiny && save) throw new Error('--tiny says nothing of speed: its figures are not saved');
  const single = positionals.find(name => name.includes('.'));
  if (save && single !== undefined) throw new Error(`--save keeps whole parts, not ${single}`);
  const clock: Clock = values['processor-time'] ? 'processor' : 'wall';
  const usual = clock === 'wall' && processors > 1 ? '1,2' : '1';
  const threads = (values.threads ?? usual).split(',').map(each => whole(each, 'threads'));
  if (clock === 'processor' && threads.some(count => count !== 1))
    throw new Error('--processor-time is that of one thread: leave out --threads');
  return {
    ...{ json, save, full, tiny, help, clock },
    torch: !values['no-torch'],
    threads: [...new Set(threads)].toSorted((a, b) => a - b),
    rounds: whole(values.rounds, 'rounds'),
    levels: values.level === undefined ? [] : values.level.split(',').map(levelNamed),
    names: positionals,
  };
}

/** The arguments without the option --level, for a process at one level. */
export function withoutLevel(args: readonly string[]): string[] {
  return args.filter((arg, i) => !/^--level(=|$)/.test(arg) && args[i - 1] !== '--level');
}
