import { AutogradError } from '../errors.ts';
import { raise } from '../ffi/check.ts';
import { native } from '../ffi/library.ts';
import { dataSync } from './read.ts';
import { empty, writeView, viewOf, type Tensor } from './tensor.ts';
import { format, numelOf } from './shape.ts';

/** PyTorch's settings: the number of elements above which only the edges of each axis are shown, the digits, and the columns of a line. */
const THRESHOLD = 1000;
const EDGE = 3;
/** The largest number of elements that are printed; tensors of many axes show fewer at each edge. */
const SHOWN = 10_000;
const DIGITS = 4;
const COLUMNS = 80;
const INDENT = 'tensor('.length;

type Write = (value: number | bigint) => string;

const sign = (v: number): string => (v < 0 || Object.is(v, -0) ? '-' : '');
const fixed = (v: number, digits: number): string => sign(v) + Math.abs(v).toFixed(digits);
/** Writes a number as 1.5000e-05, with at least two digits of exponent. */
const exponential = (v: number): string =>
  sign(v) +
  Math.abs(v)
    .toExponential(DIGITS)
    .replace(/e([+-])(\d)$/, 'e$10$2');

/** Returns the function that writes the floats of a tensor, all in one format and as wide as the widest that is finite and not 0. */
function floatWriter(values: readonly number[]): { write: Write; width: number } {
  const telling = values.filter(v => Number.isFinite(v) && v !== 0);
  const sizes = telling.map(Math.abs);
  const [least, most] = [sizes.reduce((a, b) => Math.min(a, b), Infinity), sizes.reduce((a, b) => Math.max(a, b), 0)];
  const whole = telling.every(Number.isInteger);
  const scientific = most / least > 1000 || most > 1e8 || (!whole && least < 1e-4);
  const finite = scientific ? exponential : (v: number) => (whole ? `${fixed(v, 0)}.` : fixed(v, DIGITS));
  const write = (v: number): string => (Number.isFinite(v) ? finite(v) : Number.isNaN(v) ? 'nan' : `${sign(v)}inf`);
  return { write: v => write(Number(v)), width: widest(telling, v => write(Number(v))) };
}

function writerOf(t: Tensor, values: readonly (number | bigint)[]): { write: Write; width: number } {
  if (t.isFloat) return floatWriter(values as number[]);
  const write: Write = t.info.category === 'bool' ? v => String(v !== 0) : String;
  return { write, width: widest(values, write) };
}

const widest = (values: readonly (number | bigint)[], write: Write): number =>
  values.reduce<number>((width, v) => Math.max(width, write(v).length), 1);

/** Returns the number of positions that are shown at each end of an axis. All positions of a short axis are shown. */
function edgeOf(t: Tensor): number {
  if (t.numel <= THRESHOLD) return Infinity;
  const count = (edge: number): number => numelOf(t.shape.map(size => Math.min(size, 2 * edge)));
  for (let edge = EDGE; edge > 1; edge--) if (count(edge) <= SHOWN) return edge;
  return 1;
}

/** Returns the positions of an axis in the tensor of corners(); null stands for the dots. */
function shown(size: number, edge: number): (number | null)[] {
  const all = Array.from({ length: Math.min(size, 2 * edge) }, (_, i) => i);
  return size <= 2 * edge ? all : [...all.slice(0, edge), null, ...all.slice(edge)];
}

/** Copies the elements that are shown into a row-major tensor of their own, so that the others are not read, however many they are. */
function corners(t: Tensor, edge: number): Tensor {
  const out = empty(
    t.shape.map(size => Math.min(size, 2 * edge)),
    t.info,
    t.storage.device,
  );
  const copy = (axis: number, from: Tensor, to: Tensor): void => {
    if (axis === t.rank) return copyElements(from, to);
    const size = t.shape[axis]!;
    if (size <= 2 * edge) return copy(axis + 1, from, to);
    for (const end of [0, 1])
      copy(axis + 1, part(from, axis, end * (size - edge), edge), part(to, axis, end * edge, edge));
  };
  copy(0, t, out);
  return out;
}

const part = (t: Tensor, axis: number, start: number, size: number): Tensor =>
  viewOf(t, t.shape.with(axis, size), t.strides, t.offset + start * t.strides[axis]!);

function copyElements(from: Tensor, to: Tensor): void {
  const status = native.castor_copy(writeView(0, from, 'toString'), writeView(1, to, 'toString'));
  if (status !== 0) raise(status, { op: 'toString', shapes: [from.shape], dtypes: [from.dtype] });
}

function visible(t: Tensor, edge: number): readonly (number | bigint)[] {
  const small = t.shape.every(size => size <= 2 * edge) ? t : corners(t, edge);
  const data = Array.from(dataSync(small) as ArrayLike<number | bigint>);
  if (small !== t) small.dispose();
  return data;
}

/** Writes the numbers of the last axis, broken into lines. */
function vector(items: readonly string[], indent: number, width: number): string {
  const perLine = Math.floor((COLUMNS - indent) / (width + 2));
  const lines: string[] = [];
  for (let i = 0; i < items.length; i += perLine) lines.push(items.slice(i, i + perLine).join(', '));
  return `[${lines.join(`,\n${' '.repeat(indent + 1)}`)}]`;
}

function body(t: Tensor): string {
  const { shape, rank } = t;
  if (t.numel === 0) return '[]';
  const edge = edgeOf(t);
  const data = visible(t, edge);
  const { write, width } = writerOf(t, data);
  if (rank === 0) return write(data[0]!);
  const build = (axis: number, at: number): string => {
    const length = Math.min(shape[axis]!, 2 * edge);
    const items = shown(shape[axis]!, edge).map(i => (i === null ? null : at * length + i));
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

/** Returns what the values do not show: the shape if not all elements are shown, dtype, device, gradient. */
function* suffixes(t: Tensor): Generator<string> {
  const empty = t.numel === 0;
  if (t.numel > THRESHOLD || (empty && t.rank !== 1)) yield `shape=${format(t.shape)}`;
  const obvious = t.dtype === 'float32' || (!empty && (t.dtype === 'int64' || t.dtype === 'bool'));
  if (!obvious) yield `dtype=${t.dtype}`;
  if (t.device !== 'cpu') yield `device='${t.device}'`;
  const made = madeBy(t);
  if (made !== null) yield `gradFn=<${made}>`;
  else if (t.requiresGrad) yield 'requiresGrad=true';
}

/** Returns gradFn without throwing, because printing must not fail: some views have none once the tensor they show was written to. */
function madeBy(t: Tensor): string | null {
  try {
    return t.gradFn;
  } catch (error) {
    if (error instanceof AutogradError) return 'unclear';
    throw error;
  }
}

/** Returns the text of a tensor in PyTorch's format. */
export function toText(t: Tensor): string {
  if (t.disposed) return `tensor(disposed, shape=${format(t.shape)}, dtype=${t.dtype})`;
  let text = `tensor(${body(t)}`;
  for (const suffix of suffixes(t)) {
    const column = text.length - text.lastIndexOf('\n') - 1;
    text += column + suffix.length + 3 > COLUMNS ? `,\n${' '.repeat(INDENT)}${suffix}` : `, ${suffix}`;
  }
  return `${text})`;
}
