import type { DType, FloatDType } from 'castor';

function bfloat16(x: number): number {
  if (!Number.isFinite(x)) return x;
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  // A float64 between two float32 must not be rounded twice, so the lowest bit is moved towards it.
  const nearest = new Float32Array(bits.buffer)[0]!;
  if (nearest !== x && Number.isFinite(nearest)) {
    if (Math.abs(nearest) > Math.abs(x)) bits[0]!--;
    bits[0]! |= 1;
  }
  const low = bits[0]! & 0xffff;
  const high = bits[0]! >>> 16;
  const up = low > 0x8000 || (low === 0x8000 && (high & 1) === 1);
  return new Float32Array(Uint32Array.of((high + (up ? 1 : 0)) << 16).buffer)[0]!;
}

/** The value that a dtype stores for a number: floats round to nearest even, integers wrap around. */
export const rounding: Record<DType, (x: number) => number> = {
  float32: Math.fround,
  float16: Math.f16round,
  bfloat16,
  float64: x => x,
  int32: x => Math.trunc(x) | 0,
  int64: Math.trunc,
  uint8: x => Math.trunc(x) & 255,
  bool: x => (x !== 0 ? 1 : 0),
};

/** Half the distance from 1 to the next number: the largest relative error of rounding. */
export const unit: Record<FloatDType, number> = {
  float32: 2 ** -24,
  float16: 2 ** -11,
  bfloat16: 2 ** -8,
  float64: 2 ** -53,
};
/** Half the smallest number above 0. */
export const smallest: Record<FloatDType, number> = {
  float32: 2 ** -150,
  float16: 2 ** -25,
  bfloat16: 2 ** -134,
  float64: 0,
};
