import { current, innerMode, modeWith, withInner } from '../context.ts';
import { OutOfMemoryError } from '../errors.ts';
import { native } from '../ffi/library.ts';
import { describeIn } from '../ffi/view.ts';
import { deviceInfo, getFloat32MatmulPrecision } from '../tensor/device.ts';
import { float32, type DTypeInfo } from '../tensor/dtype.ts';
import { currentCapture, noteDerived } from '../tensor/graphCapture.ts';
import { empty, writeView, type Tensor } from '../tensor/tensor.ts';
import { check, type OpInfo } from './op.ts';

/** A weight as the kernel of products reads it, valid while nobody writes to the weight. */
interface Packed {
  readonly panels: Tensor;
  readonly version: number;
}
const packs = new WeakMap<Tensor, Packed>();

let panels: Readonly<Partial<Record<string, number>>> | null = null;
/** Returns the number of columns of a panel for products of a dtype; 0 if the CPU computes them in another way than with float32. */
function columnsFor({ name }: DTypeInfo): number {
  panels ??= deviceInfo('cpu').panel ?? {};
  return name === 'float32' && getFloat32MatmulPrecision() !== 'highest' ? 0 : (panels[name] ?? 0);
}

/** Smaller weights are not worth a copy. */
const SMALLEST = 4096;
/** Is it a parameter, or autocast's copy of one, that lies in memory as a whole? */
const isWeight = (t: Tensor): boolean =>
  t.base === null && t.storage.kept && t.isContiguous && t.offset === 0 && t.numel >= SMALLEST;

/**
 * Returns the weight (out, in) of a linear layer packed in panels for the CPU's kernel, which otherwise packs it at every call, or null where
 * that does not apply. Weights are packed in inference mode only, at their first use and after a write, and the panels live as long as the
 * weight: they take the memory of a float32 copy. The answer to a row then does not depend on the other rows in any bit.
 */
export function packedWeight(op: OpInfo, weight: Tensor): Tensor | null {
  if (!current().inference || weight.storage.device !== 0 || !isWeight(weight)) return null;
  const capture = currentCapture();
  if (capture !== null && capture.derived === null) return null;
  const columns = columnsFor(weight.info);
  if (columns === 0) return null;
  const found = packs.get(weight);
  const { version } = weight.storage;
  const valid = found !== undefined && found.version === version && !found.panels.disposed;
  noteDerived(weight.storage, op.name, valid);
  if (valid) return found.panels;
  found?.panels.dispose();
  return pack(op, weight, columns);
}

/** Frees the panels of a weight. */
export function forgetPanels(weight: Tensor): void {
  packs.get(weight)?.panels.dispose();
  packs.delete(weight);
}

function pack(op: OpInfo, weight: Tensor, columns: number): Tensor | null {
  try {
    // Outside of every tidy scope, because the panels belong to the weight; and at once, because a stream may be cancelled.
    const mode = modeWith(innerMode(current(), { scope: null }), { stream: null });
    const made = withInner(mode, () => panelsOf(op, weight, columns), undefined);
    packs.set(weight, { panels: made, version: weight.storage.version });
    return made;
  } catch (error) {
    if (error instanceof OutOfMemoryError) return null;
    throw error;
  }
}

/** Copies a weight (n, k) into panels (ceil(n / columns), k, columns). */
function panelsOf(op: OpInfo, weight: Tensor, columns: number): Tensor {
  const [n, k] = weight.shape as [number, number];
  const [full, rest] = [Math.floor(n / columns), n % columns];
  const out = empty([full + Math.sign(rest), k, columns], float32, 0);
  out.storage.kept = true;
  const copy = (first: number, shape: readonly number[], from: readonly number[], to: readonly number[]): void => {
    const at = first * columns * k;
    const source = describeIn(0, weight.storage.handle, weight.info.code, shape, from, at);
    const target = describeIn(1, out.storage.handle, float32.code, shape, to, at);
    check(native.castor_copy(source, target), op, [weight]);
  };
  if (rest > 0) check(native.castor_fill(writeView(0, out, op.name), 0), op, [weight]);
  if (full > 0) copy(0, [full, k, columns], [columns * k, 1, k], [columns * k, columns, 1]);
  if (rest > 0) copy(full, [k, rest], [1, k], [columns, 1]);
  return out;
}
