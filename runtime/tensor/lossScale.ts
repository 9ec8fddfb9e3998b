import { currentCapture } from './graphCapture.ts';
import { warn, type WarningCode } from './warnings.ts';

/**
 * The scale of a GradScaler between two of its updates. Backward notes in every gradient which scale it carries, so that functions that
 * clip, unscale or apply gradients can tell scaled ones from others without reading them.
 */
export class LossScale {
  /** The scaler. */
  readonly owner: object;
  /** The mark of gradients that were divided by this scale. */
  readonly divided: Divided = new Divided(this);

  constructor(owner: object) {
    this.owner = owner;
  }
}

/** The mark of gradients that a scaler has divided by its scale. */
export class Divided {
  readonly by: LossScale;
  constructor(by: LossScale) {
    this.by = by;
  }
}

/** The mark of sums of gradients with different scales, and of a loss that was scaled twice: no division can unscale them. */
export class MixedScales {
  readonly first: Carried;
  readonly second: Carried;
  constructor(first: Carried, second: Carried) {
    this.first = first;
    this.second = second;
  }
}

/** The mark of gradients of a loss that was not scaled. */
export const UNSCALED: unique symbol = Symbol('unscaled');

/**
 * The mark of a gradient: the scale that it carries. null if it is unknown, because other code than backward made or wrote the
 * gradient.
 */
export type Carried = LossScale | Divided | MixedScales | typeof UNSCALED;

/** Returns the mark of the sum of two gradients. */
export function carriedBySum(a: Carried | null, b: Carried | null): Carried | null {
  if (a === null || b === null || a === b) return a ?? b;
  if (a instanceof MixedScales) return a;
  // A gradient that is not scaled may be added to gradients that were unscaled.
  if (a instanceof Divided && b === UNSCALED) return a;
  return b instanceof MixedScales ? b : new MixedScales(a, b);
}

/** Returns the mark of a gradient that has passed backward through the product of a loss and its scale. */
export const carriedBelow = (scale: LossScale, above: Carried | null): Carried =>
  above === null || above === UNSCALED ? scale : new MixedScales(scale, above);

/** The notes that are kept for a gradient. */
export interface Mark {
  /** The mark; null if it is unknown. */
  carried: Carried | null;
  /** The version of the storage when the gradient was marked. A later write by anybody else makes the mark unknown. */
  version: number;
  /** The scale that it was divided by since the last update(), whatever was written to it afterwards. */
  dividedBy: LossScale | null;
}
/** The part of a tensor that is needed for its mark. */
interface Marked {
  mark: Mark | null;
  readonly base: Marked | null;
  readonly storage: { readonly version: number };
}
/** Was a GradScaler made? Until then nothing is noted. */
let tracking = false;
export const startTracking = (): void => void (tracking = true);
export const tracksScales = (): boolean => tracking;

/** Returns the mark of a tensor. A view of a gradient has the mark of the gradient. */
const markOf = ({ mark, base }: Marked): Mark | null => mark ?? (base === null ? null : base.mark);

/** Returns the mark of a gradient; null if it is unknown. */
export function carriedBy(t: Marked): Carried | null {
  const mark = tracking ? markOf(t) : null;
  return mark !== null && mark.version === t.storage.version ? mark.carried : null;
}
/** Was a gradient divided by a scale already, through another optimizer? */
export const wasDividedBy = (t: Marked, scale: LossScale): boolean => markOf(t)?.dividedBy === scale;

/**
 * Notes what a gradient carries, and returns what it noted. Does nothing in a graph, whose replays write to gradients without calling it.
 */
export function carry(t: Marked, carried: Carried | null, dividedBy: LossScale | null = null): Carried | null {
  if (!tracking) return null;
  const known = currentCapture() === null ? carried : null;
  const { version } = t.storage;
  if (t.mark === null) t.mark = { carried: known, version, dividedBy };
  else {
    t.mark.carried = known;
    t.mark.version = version;
    t.mark.dividedBy = dividedBy;
  }
  return known;
}

/** Notes that a copy of a gradient carries what the gradient does. Returns the copy. */
export function carryToCopy<T extends Marked>(copy: T, of: Marked): T {
  const mark = tracking ? markOf(of) : null;
  if (mark !== null) carry(copy, carriedBy(of), mark.dividedBy);
  return copy;
}

/** Runs fn, which writes to gradients but does not change the scale in them. */
export function carryOn(gradients: readonly Marked[], fn: () => void): void {
  const carried = tracking ? gradients.map(carriedBy) : null;
  fn();
  carried?.forEach((own, i) => carry(gradients[i]!, own, gradients[i]!.mark?.dividedBy));
}

/** The warnings that each scaler has already given. */
const warned = new WeakMap<object, Set<WarningCode>>();
/** Warns once for each scaler. */
export function warnOf(scaler: object, code: WarningCode, text: () => string): void {
  const codes = warned.get(scaler) ?? new Set();
  warned.set(scaler, codes);
  if (codes.has(code)) return;
  codes.add(code);
  warn(code, text());
}

/** Warns, once for each scaler, when the host reads a gradient that carries a scale. */
export function noteGradientRead(t: Marked): void {
  if (!tracking) return;
  const carried = carriedBy(t);
  if (carried instanceof LossScale)
    warnOf(
      carried.owner,
      'CASTOR_SCALED_GRADIENT_READ',
      () =>
        'a gradient is read that still carries the scale of a GradScaler: its values are that many times too large. Call scaler.unscale(optimizer) before, or divide by scaler.getScaleSync()',
    );
}
