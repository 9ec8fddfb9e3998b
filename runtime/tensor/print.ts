import { dataSync } from './read.ts';
import type { Tensor } from './tensor.ts';
import { format } from './shape.ts';

/** PyTorch's choices: above so many elements only the edges of each axis are shown; digits; columns of a line. */
const THRESHOLD = 1000;
const EDGE = 3;
const DIGITS = 4;
const COLUMNS = 80;
const INDENT = 'tensor('.length;

type Write = (value: number | bigint) => string;

const sign = (v: number): string => (v < 0 || Object.is(v, -0) ? '-' : '');
const fixed = (v: number, digits: number): string => sign(v) + Math.abs(v).toFixed(digits);
/** 1.5000e-05: two digits of exponent at least. */
const exponential = (v: number): string =>
  sign(v) +
  Math.abs(v)
    .toExponential(DIGITS)
    .replace(/e([+-])(\d)$/, 'e$10$2');

/** How the floats of one tensor are written: all alike, as wide as the widest that is finite and not 0. */
function floatWriter(values: readonly number[]): { write: Write; width: number } {
  const telling = values.filter(v => Number.isFinite(v) && v !== 0);
  const sizes = telling.map(Math.abs);
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  const whole = telling.every(Number.isInteger);
  const scientific = telling.length > 0 && (most / least > 1000 || most > 1e8 || (!whole && least < 1e-4));
  const finite = scientific ? exponential : (v: number) => (whole ? `${fixed(v, 0)}.` : fixed(v, DIGITS));
  const write = (v: number): string => (Number.isFinite(v) ? finite(v) : Number.isNaN(v) ? 'nan' : `${sign(v)}inf`);
  return { write: v => write(Number(v)), width: Math.max(1, ...telling.map(v => write(v).length)) };
}

function writerOf(t: Tensor, values: readonly (number | bigint)[]): { write: Write; width: number } {
  if (t.isFloat) return floatWriter(values as number[]);
  const write: Write = t.info.category === 'bool' ? v => String(v !== 0) : String;
  return { write, width: Math.max(1, ...values.map(v => write(v).length)) };
}

/** The positions of an axis that are shown; null stands for the dots. */
function shown(size: number, summarise: boolean): (number | null)[] {
  if (!summarise || size <= 2 * EDGE) return Array.from({ length: size }, (_, i) => i);
  return [0, 1, 2, null, size - 3, size - 2, size - 1];
}

/** The numbers of the last axis, broken into lines. */
function vector(items: readonly string[], indent: number, width: number): string {
  const perLine = Math.max(1, Math.floor((COLUMNS - indent) / (width + 2)));
  const lines: string[] = [];
  for (let i = 0; i < items.length; i += perLine) lines.push(items.slice(i, i + perLine).join(', '));
  return `[${lines.join(`,\n${' '.repeat(indent + 1)}`)}]`;
}

function body(t: Tensor): string {
  const { shape, rank } = t;
  if (t.numel === 0) return '[]';
  const summarise = t.numel > THRESHOLD;
  const data = dataSync(t) as ArrayLike<number | bigint>;
  const visible: (number | bigint)[] = [];
  const visit = (axis: number, at: number): void => {
    if (axis === rank) visible.push(data[at]!);
    else for (const i of shown(shape[axis]!, summarise)) if (i !== null) visit(axis + 1, at * shape[axis]! + i);
  };
  visit(0, 0);
  const { write, width } = writerOf(t, visible);
  if (rank === 0) return write(data[0]!);
  const build = (axis: number, at: number): string => {
    const items = shown(shape[axis]!, summarise).map(i => (i === null ? null : at * shape[axis]! + i));
    const indent = INDENT + axis;
    if (axis === rank - 1)
      return vector(
        items.map(i => (i === null ? ' ...' : write(data[i]!).padStart(width))),
        indent,
        width,
      );
    const parts = items.map(i => (i === null ? '...' : build(axis + 1, i)));
    return `[${parts.join(`,${'\n'.repeat(rank - axis - 1)}${' '.repeat(indent + 1)}`)}]`;
  };
  return build(0, 0);
}

/** What the values do not tell: the shape when not all are shown, dtype, device, gradient. */
function* suffixes(t: Tensor): Generator<string> {
  const empty = t.numel === 0;
  if (t.numel > THRESHOLD || (empty && t.rank !== 1)) yield `shape=${format(t.shape)}`;
  const obvious = t.dtype === 'float32' || (!empty && (t.dtype === 'int64' || t.dtype === 'bool'));
  if (!obvious) yield `dtype=${t.dtype}`;
  if (t.device !== 'cpu') yield `device='${t.device}'`;
  if (t.gradFn !== null) yield `gradFn=<${t.gradFn}>`;
  else if (t.requiresGrad) yield 'requiresGrad=true';
}

/** As PyTorch prints. */
export function toText(t: Tensor): string {
  if (t.disposed) return `tensor(disposed, shape=${format(t.shape)}, dtype=${t.dtype})`;
  let text = `tensor(${body(t)}`;
  for (const suffix of suffixes(t)) {
    const column = text.length - text.lastIndexOf('\n') - 1;
    text += column + suffix.length + 3 > COLUMNS ? `,\n${' '.repeat(INDENT)}${suffix}` : `, ${suffix}`;
  }
  return `${text})`;
}

/** What console.log shows. */
export const inspect = (t: Tensor): string => toText(t);
