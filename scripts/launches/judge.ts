/** Decides what the report of the launches means. */

export interface Report {
  /** The mangled names of the kernels that were launched. */
  readonly launched: ReadonlySet<string>;
  /** Launches that no driver would accept: the mangled name of the kernel, or `-`, and what is wrong. */
  readonly wrong: readonly (readonly [symbol: string, what: string])[];
}
export interface Judgement {
  readonly passed: number;
  readonly problems: readonly string[];
}

/** Reads the lines that tests/launches/cudart.cpp writes: `NAME`, or `NAME WHAT IS WRONG`. */
export function readReport(text: string): Report {
  const lines = [...new Set(text.split('\n').filter(Boolean))].map(line => {
    const space = line.indexOf(' ');
    return space < 0 ? ([line, ''] as const) : ([line.slice(0, space), line.slice(space + 1)] as const);
  });
  return {
    launched: new Set(lines.map(([symbol]) => symbol).filter(symbol => symbol !== '-')),
    wrong: lines.filter(([, what]) => what !== ''),
  };
}

/** The launches on several devices. A kernel that only one of them can run counts as launched. */
export const merged = (reports: readonly Report[]): Report => ({
  launched: new Set(reports.flatMap(({ launched }) => [...launched])),
  wrong: reports.flatMap(({ wrong }) => wrong),
});

/**
 * @param names the name of each kernel of the library, by its mangled name
 * @param unlaunched the names of kernels that no call of the check launches, each with the reason
 */
export function judge(
  { launched, wrong }: Report,
  names: ReadonlyMap<string, string>,
  unlaunched: Readonly<Record<string, string>>,
): Judgement {
  const wrongOnes = new Set(wrong.map(([symbol]) => symbol));
  const kernels = [...names];
  const known = new Set(names.values());
  const missing = kernels.filter(([symbol, name]) => !launched.has(symbol) && !(name in unlaunched));
  const listed = new Set(kernels.filter(([symbol]) => launched.has(symbol)).map(([, name]) => name));
  return {
    passed: kernels.length - missing.length - kernels.filter(([symbol]) => wrongOnes.has(symbol)).length,
    problems: [
      ...wrong.map(([symbol, what]) => `${names.get(symbol) ?? symbol}: ${what}`),
      ...missing.map(
        ([, name]) =>
          `${name} is never launched. Add a call to tests/launches/sweep.ts, or the reason to unlaunched.json`,
      ),
      ...Object.keys(unlaunched)
        .filter(name => listed.has(name))
        .map(name => `${name} is launched, although unlaunched.json says that it is not`),
      ...Object.keys(unlaunched)
        .filter(name => !known.has(name))
        .map(name => `${name} is in unlaunched.json, and the library has no such kernel`),
    ],
  };
}
