/**
 * The small changes that `scripts/mutants.ts` makes: the places in a source file where they are possible, and the
 * changed file.
 */

/** A change at one place of a file. */
export interface Mutation {
  /** Path from the root of the project. */
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** The unchanged line without indentation. It identifies the place when lines above have moved. */
  readonly before: string;
  readonly after: string;
  /** The whole file with the change. */
  readonly text: string;
}

interface Operator {
  /** Matches the text to replace as its first group. Strings and comments are blank in the text that is searched. */
  readonly pattern: RegExp;
  readonly replace: (found: string) => string;
}

const pairs: Readonly<Record<string, string>> = {
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '===': '!==',
  '!==': '===',
  '==': '!=',
  '!=': '==',
  '+': '-',
  '-': '+',
  '*': '/',
  '/': '*',
  '%': '*',
  '&&': '||',
  '||': '&&',
  true: 'false',
  false: 'true',
};
const paired = (found: string): string => pairs[found]!;

const operators: readonly Operator[] = [
  { pattern: / (<=?|>=?|[!=]==?|&&|\|\||[-+*/%]) /dg, replace: paired },
  { pattern: /\b(true|false)\b/dg, replace: paired },
  { pattern: /(?<![\w.'$])(\d+)(?![\w.'])/dg, replace: found => String(Number(found) + 1) },
  { pattern: /(!)(?=[\w(])/dg, replace: () => '' },
  { pattern: /\bif \((.+)\) /dg, replace: () => 'false' },
  // Removes a call or an increment whose result is not used.
  { pattern: /^\s+((?:[\w.!?[\]]|->|::)+(?:\(.*\)|\+\+|--| [-+|]= .*));$/dg, replace: () => '' },
];

const blank = (text: string): string => text.replace(/[^\n]/g, ' ');
/** Comments, strings and preprocessor lines, with the escapes inside them. Template strings are ignored as a whole. */
const ignored = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|^\s*#[^\n]*/gm;

/**
 * For names in conditions of native code: whether a build without CUDA for the narrowest instruction set of x86-64
 * defines them.
 */
const defined: Readonly<Record<string, boolean>> = {
  __AVX512F__: false,
  __AVX2__: false,
  __AVX__: false,
  __F16C__: false,
  __clang__: false,
  CASTOR_WITH_CUDA: false,
  CASTOR_PAIRS: false,
  CASTOR_TILES: false,
  // Conditions on it have the form CASTOR_ISAS > 1: more instruction sets than the narrowest.
  CASTOR_ISAS: false,
  __SANITIZE_ADDRESS__: false,
  __SSE2__: true,
  __x86_64__: true,
};

/** The lines of a file that such a build compiles. Changes of other lines would have no effect. */
function compiled(lines: readonly string[]): string[] {
  const taken: boolean[] = [];
  const open: boolean[] = [];
  return lines.map(text => {
    const [, word, name] =
      /^\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b(?:\s+(?:defined\()?(\w+)\)?(?: > \d)?\s*$)?/.exec(text) ?? [];
    // For a condition on any other name, every branch counts as compiled.
    const known = defined[name ?? ''];
    const holds = known ?? true;
    if (word === 'endif') [taken.pop(), open.pop()];
    else if (word?.startsWith('if')) [taken.push(known === true), open.push(holds)];
    else if (word !== undefined) {
      open[open.length - 1] = !taken.at(-1)! && holds;
      taken[taken.length - 1] ||= known === true;
    }
    return word === undefined && open.every(Boolean) ? text : '';
  });
}

/** All changes that can be made to a file, in the order of the text. */
export function mutationsOf(file: string, source: string): Mutation[] {
  const lines = source.split('\n');
  const native = compiled(lines);
  const code = source
    .replace(ignored, blank)
    .split('\n')
    .map((text, i) => (native[i] === '' ? '' : text));
  return code.flatMap((text, i) => {
    if (/^\s*(import|export \*|using|template|static_assert|namespace)\b/.test(text)) return [];
    return operators.flatMap(({ pattern, replace }) =>
      [...text.matchAll(pattern)].map(match => {
        const [start, end] = match.indices![1]!;
        const after = lines[i]!.slice(0, start) + replace(match[1]!) + lines[i]!.slice(end);
        return {
          file,
          line: i + 1,
          before: lines[i]!.trim(),
          after: after.trim(),
          text: lines.with(i, after).join('\n'),
        };
      }),
    );
  });
}

const transpiler = new Bun.Transpiler({ loader: 'ts', target: 'bun' });
/**
 * Whether a change affects what a TypeScript file does. A change of types does not, and some changes are not valid
 * TypeScript.
 */
export function changesProgram(source: string, { text }: Mutation): boolean {
  try {
    return transpiler.transformSync(source) !== transpiler.transformSync(text);
  } catch {
    return false;
  }
}

/**
 * Numbers from 0 to 1 that depend only on the seed (a linear congruential generator with the constants of Numerical
 * Recipes).
 */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** `count` of the items at random, each at most once. */
export function sample<T>(items: readonly T[], count: number, seed: number): T[] {
  const random = randomNumbers(seed);
  const rest = [...items];
  const chosen: T[] = [];
  while (chosen.length < count && rest.length > 0) chosen.push(rest.splice(Math.floor(random() * rest.length), 1)[0]!);
  return chosen;
}
