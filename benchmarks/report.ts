import type { Figure } from './measure.ts';

/** One figure at each number of threads, fewest first. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly must?: string;
  readonly mustOverTorch?: string;
  readonly measured: readonly Measured[];
}
export interface Measured {
  readonly threads: number;
  readonly value: number;
  readonly torch?: number;
}

/** Does a value reach a limit, such as '<= 10', '>= 1.3' or '0'? */
export function reaches(value: number, must: string): boolean {
  const [, relation, text] = /^(<=|>=)?\s*(-?[\d.]+)$/.exec(must) ?? [];
  if (text === undefined) throw new Error(`'${must}' is not a limit`);
  const limit = Number(text);
  return relation === '<=' ? value <= limit : relation === '>=' ? value >= limit : value === limit;
}

const rates = ['GFLOP/s', 'GB/s'];
const durations = ['ms', 'us', 'ns'];
/** PyTorch's time over Castor's. null where there is no figure of PyTorch, and for figures that are not times. */
export function overTorch({ unit }: { readonly unit: string }, { value, torch }: Measured): number | null {
  if (torch === undefined) return null;
  if (rates.includes(unit)) return value / torch;
  return durations.includes(unit) ? torch / value : null;
}

/** Does a figure reach its limits? null without limits, or where nothing was measured that they speak of. */
export function kept(row: Row, measured: Measured): boolean | null {
  const over = overTorch(row, measured);
  const verdicts = [
    ...(row.must === undefined ? [] : [reaches(measured.value, row.must)]),
    ...(row.mustOverTorch === undefined || over === null ? [] : [reaches(over, row.mustOverTorch)]),
  ];
  return verdicts.length === 0 ? null : verdicts.every(Boolean);
}

/** Joins the figures of several numbers of threads by their names. */
export function rowsOf(figures: readonly { readonly threads: number; readonly figure: Figure }[]): Row[] {
  const names = [...new Set(figures.map(({ figure }) => figure.name))];
  return names.map(name => {
    const own = figures.filter(({ figure }) => figure.name === name);
    const { unit, must, mustOverTorch } = own[0]!.figure;
    const measured = own.map(({ threads, figure: { value, torch } }) => ({
      threads,
      value,
      ...(torch === undefined ? {} : { torch }),
    }));
    return { name, unit, ...(must ? { must } : {}), ...(mustOverTorch ? { mustOverTorch } : {}), measured };
  });
}

export const show = (value: number | null | undefined): string =>
  value === undefined || value === null ? '' : Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);

/** The limits of a row as text: of the value, and of the ratio to PyTorch. */
export const limitsOf = ({ must, mustOverTorch }: Row): string =>
  [must, mustOverTorch && `${mustOverTorch} over PyTorch`].filter(Boolean).join(', ');

/** The name of a figure in JSON: that at the largest number of threads has the plain name, others are 'gemm@1'. */
const nameAt = ({ name, measured }: Row, threads: number): string =>
  threads === measured.at(-1)!.threads ? name : `${name}@${threads}`;

/** One JSON line for each number of threads. */
export const jsonLines = (row: Row): string[] =>
  row.measured.map(one =>
    JSON.stringify({
      name: nameAt(row, one.threads),
      value: one.value,
      unit: row.unit,
      threads: one.threads,
      ...(one.torch === undefined ? {} : { torch: one.torch }),
      ...(overTorch(row, one) === null ? {} : { overTorch: overTorch(row, one) }),
    }),
  );

/** A table in columns. Figures that do not reach a limit have a ! */
export function tableOf(rows: readonly Row[], threads: readonly number[]): string {
  const columns = threads.flatMap(count => [`Castor@${count}`, `PyTorch@${count}`, 'ratio', '']);
  const pad = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i % 4 === 3 ? cell.padEnd(2) : cell.padStart(i % 4 === 2 ? 6 : 10))).join('');
  const width = Math.max(...rows.map(({ name }) => name.length), 20) + 2;
  const lines = rows.map(row => {
    const cells = threads.flatMap(count => {
      const one = row.measured.find(each => each.threads === count);
      if (!one) return ['', '', '', ''];
      return [show(one.value), show(one.torch), show(overTorch(row, one)), kept(row, one) === false ? ' !' : ''];
    });
    return `${row.name.padEnd(width)}${row.unit.padEnd(10)}${pad(cells)} ${limitsOf(row)}`.trimEnd();
  });
  return [`${'figure'.padEnd(width)}${'unit'.padEnd(10)}${pad(columns)} must`, ...lines].join('\n');
}

/** How many limits are reached, and the figures that do not reach theirs. */
export function summary(rows: readonly Row[]): string {
  const verdicts = rows.flatMap(row =>
    row.measured.map(one => ({ name: nameAt(row, one.threads), kept: kept(row, one) })),
  );
  const judged = verdicts.filter(({ kept }) => kept !== null);
  const short = judged.filter(({ kept }) => !kept).map(({ name }) => name);
  const first = `${judged.length - short.length} of ${judged.length} figures reach their limits`;
  return short.length === 0 ? first : `${first}. These do not (!): ${short.join(', ')}`;
}
