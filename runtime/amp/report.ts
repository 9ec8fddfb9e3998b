import { any, checkMethods, optional, signature } from '../arguments.ts';
import { asUser } from '../context.ts';
import type { DType } from '../tensor/dtype.ts';
import { isTensor, type Operand, type Tensor } from '../tensor/tensor.ts';
import type { Policy } from './policy.ts';

/** The calls of one op with one set of dtypes. */
export interface ReportedOp {
  /** The name of the op. */
  readonly op: string;
  /** The policy that applied: the op's own, an override, or that of the composed op that called it. */
  readonly policy: Policy;
  /**
   * The dtypes of the operands as the caller gave them. If an override applies to the function that calls the op, they are cast already.
   */
  readonly given: readonly DType[];
  /** The dtypes of the operands as the kernel read them. */
  readonly read: readonly DType[];
  /** The dtype of the result. */
  readonly out: DType;
  /** The number of calls. */
  count: number;
  /** The bytes that the kernels of all these calls read and wrote. */
  bytes: number;
}

/** The casts from one dtype to another that are made for one call, made for the cache, or found in the cache. */
export interface ReportedCast {
  /** The dtype before. */
  readonly from: DType;
  /** The dtype after. */
  readonly to: DType;
  /** 'none' for a copy for one call, 'miss' for one that was put into the cache, 'hit' for one that was found in it. */
  readonly cache: 'none' | 'miss' | 'hit';
  /** The number of such conversions. */
  count: number;
  /** The size of the copies in bytes; 0 for cache hits, which make no copy. */
  bytes: number;
}

const counted = (text: string, count: number): string => `${count} ${text}${count === 1 ? '' : 's'}`;
const mb = (bytes: number): string =>
  bytes < 2 ** 20 ? `${(bytes / 1024).toFixed(1)} kB` : `${(bytes / 2 ** 20).toFixed(1)} MB`;

/** Returns rows as text, in columns as wide as their widest entry. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map(row => row[i]!.length)));
  return rows.map(row => `  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ')}`.trimEnd()).join('\n');
}

/** The two functions that are called for each op and each cast. */
export type Notes = Pick<AutocastReport, 'noteOp' | 'noteCast'>;
/** Returns the functions of a report that record ops and casts. If a subclass overrides them, they run as user code (see asUser). */
export function notesOf(report: AutocastReport): Notes {
  if (Object.getPrototypeOf(report) === AutocastReport.prototype && Object.keys(report).length === 0) return report;
  return {
    noteOp: (...args) => asUser(() => report.noteOp(...args)),
    noteCast: (...args) => asUser(() => report.noteCast(...args)),
  };
}

const takesNothing = signature('AutocastReport', {});

/** The report of autocast in a scope: which op ran in which dtypes, and every cast. It prints as tables and is serialised as JSON. */
export class AutocastReport {
  readonly #ops = new Map<string, ReportedOp>();
  readonly #casts = new Map<string, ReportedCast>();

  /** Makes an empty report, for the option `report` of autocast(). */
  constructor() {
    takesNothing(arguments);
  }

  /** The ops that ran, a row for each set of dtypes, in the order of their first call. */
  get ops(): readonly Readonly<ReportedOp>[] {
    return [...this.#ops.values()];
  }
  /** The conversions, a row for each kind. */
  get casts(): readonly Readonly<ReportedCast>[] {
    return [...this.#casts.values()];
  }
  /**
   * The numbers of calls and of bytes that they read and wrote, of casts and of bytes in their copies, and of casts that the cache saved.
   */
  get totals(): { calls: number; bytes: number; casts: number; castBytes: number; cacheHits: number } {
    const sum = <T>(rows: Iterable<T>, of: (row: T) => number): number =>
      [...rows].reduce((total, row) => total + of(row), 0);
    return {
      calls: sum(this.ops, row => row.count),
      bytes: sum(this.ops, row => row.bytes),
      casts: sum(this.casts, row => (row.cache === 'hit' ? 0 : row.count)),
      castBytes: sum(this.casts, row => row.bytes),
      cacheHits: sum(this.casts, row => (row.cache === 'hit' ? row.count : 0)),
    };
  }

  /** @internal */
  noteOp(op: { name: string }, policy: Policy, given: readonly Operand[], read: readonly Operand[], out: Tensor): void {
    const dtypesOf = (inputs: readonly Operand[]): DType[] => inputs.filter(isTensor).map(t => t.dtype);
    const row = { op: op.name, policy, given: dtypesOf(given), read: dtypesOf(read), out: out.dtype };
    const key = JSON.stringify(row);
    let entry = this.#ops.get(key);
    if (!entry) this.#ops.set(key, (entry = { ...row, count: 0, bytes: 0 }));
    entry.count++;
    entry.bytes += read.filter(isTensor).reduce((sum, t) => sum + t.nbytes, out.nbytes);
  }
  /** @internal */
  noteCast(from: Tensor, to: Tensor, cache: ReportedCast['cache']): void {
    const row = { from: from.dtype, to: to.dtype, cache };
    const key = JSON.stringify(row);
    let entry = this.#casts.get(key);
    if (!entry) this.#casts.set(key, (entry = { ...row, count: 0, bytes: 0 }));
    entry.count++;
    if (cache !== 'hit') entry.bytes += to.nbytes;
  }

  /** Returns the rows and totals as JSON.stringify writes them. */
  toJSON(): object {
    return { ops: this.ops, casts: this.casts, totals: this.totals };
  }
  /** Returns the tables that console.log shows. */
  toString(): string {
    const { calls, bytes, casts, castBytes, cacheHits } = this.totals;
    const ops = this.ops.map(row => [
      row.op,
      row.policy,
      row.given.join(' '),
      String(row.read) === String(row.given) ? '=' : row.read.join(' '),
      row.out,
      String(row.count),
      mb(row.bytes),
    ]);
    const conversions = this.casts.map(row => [
      `${row.from} -> ${row.to}`,
      row.cache === 'none' ? 'for one call' : row.cache === 'miss' ? 'for the cache' : 'found in the cache',
      String(row.count),
      mb(row.bytes),
    ]);
    return [
      `${counted('call', calls)}, ${mb(bytes)}; ${counted('cast', casts)} of ${mb(castBytes)}, ${cacheHits} spared by the cache`,
      columns([['op', 'policy', 'given', 'read as', 'out', 'calls', 'bytes'], ...ops]),
      columns([['cast', 'made', 'times', 'bytes'], ...conversions]),
    ].join('\n');
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}
checkMethods(AutocastReport, { toJSON: { key: optional(any) }, toString: {} });
