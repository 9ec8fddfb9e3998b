import { dataSync } from './read.ts';
import type { Tensor } from './tensor.ts';

/** Above this many elements only the edges of each axis are shown. */
const THRESHOLD = 1000;
const EDGE = 3;
const PRECISION = 4;

/** How the numbers of one tensor are written: all alike, as in PyTorch. */
function formatter(values: readonly number[], float: boolean): (value: number) => string {
  if (!float) return String;
  const finite = values.filter(Number.isFinite).map(Math.abs);
  const nonzero = finite.filter(v => v !== 0);
  const [least, most] = [Math.min(...nonzero), Math.max(0, ...finite)];
  const special = (v: number): string => (Number.isNaN(v) ? 'nan' : v > 0 ? 'inf' : '-inf');
  const scientific = nonzero.length > 0 && (most / least > 1000 || most > 1e8 || least < 1e-4);
  if (finite.every(Number.isInteger) && !(most > 1e8)) return v => (Number.isFinite(v) ? `${v}.` : special(v));
  const plain = (v: number): string => (scientific ? exponential(v) : v.toFixed(PRECISION));
  return v => (Number.isFinite(v) ? plain(v) : special(v));
}

/** 1.5000e-05: two digits of exponent at least, as C writes it. */
const exponential = (v: number): string => v.toExponential(PRECISION).replace(/e([+-])(\d)$/, 'e$10$2');

/** The positions of an axis that are shown; -1 stands for the dots. */
function shown(size: number, summarise: boolean): number[] {
  if (!summarise || size <= 2 * EDGE) return Array.from({ length: size }, (_, i) => i);
  return [...Array.from({ length: EDGE }, (_, i) => i), -1, ...Array.from({ length: EDGE }, (_, i) => size - EDGE + i)];
}

function body(t: Tensor, indent: number): string {
  const { shape } = t;
  const summarise = t.numel > THRESHOLD;
  const data = dataSync(t) as ArrayLike<number | bigint>;
  const visible: number[] = [];
  const collect = (axis: number, start: number, stride: number): void => {
    if (axis === shape.length) return void visible.push(start);
    const step = stride / shape[axis]!;
    for (const i of shown(shape[axis]!, summarise)) if (i >= 0) collect(axis + 1, start + i * step, step);
  };
  if (t.numel > 0) collect(0, 0, t.numel);
  const bool = t.info.category === 'bool';
  const format = formatter(visible.map(i => Number(data[i]!)), t.isFloat);
  const text = (i: number): string => (bool ? String(data[i] !== 0) : typeof data[i] === 'bigint' ? String(data[i]) : format(Number(data[i]!)));
  const width = Math.max(0, ...visible.map(i => text(i).length));
  const build = (axis: number, start: number, stride: number): string => {
    if (axis === shape.length) return shape.length === 0 ? text(start) : text(start).padStart(width);
    const step = stride / Math.max(shape[axis]!, 1);
    const items = shown(shape[axis]!, summarise).map(i => (i < 0 ? '...' : build(axis + 1, start + i * step, step)));
    const depth = shape.length - axis - 1;
    const separator = depth === 0 ? ', ' : `,${'\n'.repeat(depth)}${' '.repeat(indent + axis + 1)}`;
    return `[${items.join(separator)}]`;
  };
  return t.numel === 0 && shape.length > 0 ? '[]' : build(0, 0, t.numel);
}

/** As PyTorch prints: values, then what is not obvious: size when empty, dtype, device, gradient. */
export function toText(t: Tensor): string {
  if (t.disposed) return `Tensor(disposed, shape=[${t.shape.join(', ')}], dtype=${t.dtype})`;
  const parts = [`tensor(${body(t, 'tensor('.length)}`];
  if (t.numel === 0 || t.numel > THRESHOLD) parts.push(`shape=[${t.shape.join(', ')}]`);
  const obvious = t.dtype === 'float32' || t.dtype === 'int64' || t.dtype === 'bool';
  if (!obvious) parts.push(`dtype=${t.dtype}`);
  if (t.device !== 'cpu') parts.push(`device='${t.device}'`);
  if (t.gradFn !== null) parts.push(`gradFn=<${t.gradFn}>`);
  else if (t.requiresGrad) parts.push('requiresGrad=true');
  return `${parts.join(', ')})`;
}

/** What console.log shows. */
export const inspect = (t: Tensor): string => toText(t);
