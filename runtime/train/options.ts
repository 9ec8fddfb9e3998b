import { arrayOf, checked, number, optional, text as label, type Spec } from '../arguments.ts';
import { ArgumentError } from '../errors.ts';
import { nearest } from '../shown.ts';
import { isTensor } from '../tensor/tensor.ts';

/** One option of a program: how its text is read, and its description in --help. */
export interface Option<T> {
  /** The value of an option that is not given. */
  readonly fallback: T;
  /** The description in --help. */
  readonly help: string;
  /** The word that stands for the value in --help, such as PATH. null for a switch, which takes no value. */
  readonly placeholder: string | null;
  /** Returns the value, or undefined if the text is not valid. */
  readonly parse: (text: string) => T | undefined;
  /** A description of valid texts, for error messages. */
  readonly wanted: string;
}
/** The options of a program by their names. */
export type OptionTable = Readonly<Record<string, Option<any>>>;
/** The values of the options of a table. */
export type OptionValues<S extends OptionTable> = {
  -readonly [K in keyof S]: S[K] extends Option<infer T> ? T : never;
};

const isOption = (option: unknown): boolean =>
  typeof option === 'object' && option !== null && 'fallback' in option && 'help' in option && 'parse' in option;
export const optionTable: Spec = {
  wanted: 'a table of options by their names',
  accepts: table =>
    typeof table === 'object' && table !== null && !isTensor(table) && Object.values(table as object).every(isOption),
  advice: "Pass an object such as { steps: train.whole(100, 'steps to train') }",
};

/** A switch, which is off unless given. */
export const flag = checked('train.flag', { help: label }, (help: string): Option<boolean> => ({
  fallback: false,
  help,
  placeholder: null,
  parse: () => true,
  wanted: 'nothing',
}));

/** Any text, such as a path. null unless given. */
export const text = checked(
  'train.text',
  { placeholder: label, help: label },
  (placeholder: string, help: string): Option<string | null> => ({
    fallback: null,
    help,
    placeholder,
    parse: value => value || undefined,
    wanted: placeholder,
  }),
);

/** One of several words. */
export const choice = checked(
  'train.choice',
  { values: arrayOf(label, 'an array of words'), fallback: label, help: label },
  <const T extends string>(values: readonly T[], fallback: T, help: string): Option<T> => ({
    fallback,
    help,
    placeholder: values.join('|'),
    parse: value => values.find(word => word === value),
    wanted: `one of ${values.join(', ')}`,
  }),
);

/** An integer of at least `least`. */
export const whole = checked(
  'train.whole',
  { fallback: number, help: label, least: optional(number) },
  (fallback: number, help: string, least = 1): Option<number> => ({
    fallback,
    help,
    placeholder: 'N',
    parse: value => (/^\d+$/.test(value) && Number.isSafeInteger(+value) && +value >= least ? +value : undefined),
    wanted: `a whole number >= ${least}`,
  }),
);

/** A number >= 0. */
export const real = checked(
  'train.real',
  { fallback: number, help: label },
  (fallback: number, help: string): Option<number> => ({
    fallback,
    help,
    placeholder: 'X',
    parse: value => (value.trim() !== '' && Number.isFinite(+value) && +value >= 0 ? +value : undefined),
    wanted: 'a number >= 0',
  }),
);

const HELP = { advice: 'See --help' };

/**
 * Reads --name value, --name=value and switches. Options that are not given have their defaults. Returns null if --help
 * was given.
 * @throws ArgumentError for unknown options, and for missing or invalid values
 */
export const parseOptions = checked(
  'parseOptions',
  { table: optionTable, argv: arrayOf(label, 'an array of words') },
  doParseOptions,
);
function doParseOptions<S extends OptionTable>(table: S, argv: readonly string[]): OptionValues<S> | null {
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(table)) values[name] = option.fallback;
  for (let i = 0; i < argv.length; i++) {
    const [word, inline] = cut(argv[i]!);
    if (word === '--help' || word === '-h') return null;
    const name = word.startsWith('--') ? word.slice(2) : '';
    const option = Object.hasOwn(table, name) ? table[name]! : unknown(word, Object.keys(table));
    if (option.placeholder === null && inline !== undefined) throw new ArgumentError(`${word} takes no value`, HELP);
    const given = option.placeholder === null ? '' : (inline ?? argv[++i]);
    const value = given === undefined ? undefined : option.parse(given);
    if (value === undefined) throw new ArgumentError(`${word} wants ${option.wanted}, not ${given ?? 'nothing'}`, HELP);
    values[name] = value;
  }
  return values as OptionValues<S>;
}

/** Divides '--name=value' into name and value. */
function cut(word: string): [string, string | undefined] {
  const at = word.indexOf('=');
  return word.startsWith('--') && at > 0 ? [word.slice(0, at), word.slice(at + 1)] : [word, undefined];
}

function unknown(word: string, names: readonly string[]): never {
  const near = nearest(word.replace(/^-+/, ''), names);
  throw new ArgumentError(`there is no option ${word}`, {
    advice: `${near ? `Did you mean --${near}? ` : ''}See --help`,
  });
}

/** The text of --help: the usage, then one line for each option with its default. */
export const helpText = checked('helpText', { usage: label, table: optionTable }, doHelpText);
function doHelpText(usage: string, table: OptionTable): string {
  const rows = Object.entries(table).map(([name, { placeholder, help, fallback }]) => {
    const known = placeholder !== null && fallback !== null ? ` (default ${String(fallback)})` : '';
    return [`--${name}${placeholder ? ` ${placeholder}` : ''}`, help + known] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length));
  return [
    usage,
    '',
    ...[...rows, ['--help', 'print this']].map(([left, right]) => `  ${left!.padEnd(width)}  ${right}`),
  ].join('\n');
}
