/** Functions that Math does not have, to full double precision. */

/**
 * 2 / sqrt(pi) * sum (-1)^n x^(2n + 1) / (n! (2n + 1)), in the form with the factor e^(-x^2), which does not cancel.
 */
function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) sum += term *= (2 * x * x) / (2 * n + 1);
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** e^(-x^2), corrected for the rounding error of x^2. */
function bell(x: number): number {
  const near = Math.fround(x);
  return Math.exp(-near * near) * Math.exp((near - x) * (near + x));
}

/** erfc of x >= 0.5 by its continued fraction, evaluated from the end. */
function erfcFraction(x: number): number {
  let tail = x;
  for (let n = Math.ceil(400 / (x * x)) + 20; n >= 1; n--) tail = x + n / 2 / tail;
  return bell(x) / Math.sqrt(Math.PI) / tail;
}

export const erfc = (x: number): number => (x >= 0.5 ? erfcFraction(x) : 1 - erf(x));
export const erf = (x: number): number =>
  Math.abs(x) < 2 ? erfSeries(x) : Math.sign(x) * (1 - erfcFraction(Math.abs(x)));

/** Newton's method, applied to erfc where erf is near 1. */
export function erfinv(y: number): number {
  if (y < 0) return -erfinv(-y);
  if (y === 1) return Infinity;
  let x = 0;
  for (let i = 0; i < 60; i++) {
    const miss = y < 0.5 ? erf(x) - y : 1 - y - erfc(x);
    const step = miss / ((2 / Math.sqrt(Math.PI)) * Math.exp(-x * x));
    x -= step;
    if (Math.abs(step) < 1e-15 * x) break;
  }
  return x;
}

export const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
/** ln(1 + e^x). */
export const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
export const gelu = (x: number): number => x * 0.5 * erfc(-x * Math.SQRT1_2);
export const geluTanh = (x: number): number => x * sigmoid(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
/** The nearest integer, halves to even. */
export function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const half = x - below;
  return half < 0.5 || (half === 0.5 && below % 2 === 0) ? below : below + 1;
}
export const fmod = (x: number, y: number): number => x % y;
export const remainder = (x: number, y: number): number => {
  const r = x % y;
  return r !== 0 && r < 0 !== y < 0 ? r + y : r;
};
