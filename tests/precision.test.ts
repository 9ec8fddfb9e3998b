import { afterEach, describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  deviceInfo,
  eye,
  F,
  full,
  getDefaultDevice,
  getFloat32MatmulPrecision,
  ones,
  setFloat32MatmulPrecision,
} from '../runtime/index.ts';

afterEach(() => setFloat32MatmulPrecision('highest'));

/** The least float above 1 that tf32, with 10 bits of mantissa, rounds to 1. */
const fine = 1 + 2 ** -12;
const rounded = getDefaultDevice().startsWith('cuda') ? 1 : fine;

describe('products of float32', () => {
  const matmul = (): number => full([16, 16], fine).matmul(eye(16)).at(3, 3).itemSync();
  const convolution = (): number =>
    F.conv2d(full([1, 1, 16, 16], fine), ones([16, 1, 1, 1]))
      .at(0, 3, 3, 3)
      .itemSync();

  test('are in float32 by default', () => {
    expect(getFloat32MatmulPrecision()).toBe('highest');
    expect(matmul()).toBe(fine);
    expect(convolution()).toBe(fine);
  });
  test('round their factors to tf32 on a GPU when that is allowed', () => {
    setFloat32MatmulPrecision('high');
    expect(getFloat32MatmulPrecision()).toBe('high');
    expect(matmul()).toBe(rounded);
    expect(convolution()).toBe(rounded);
  });
  test('round their factors to bfloat16 on a CPU with a unit for it when that is allowed', () => {
    setFloat32MatmulPrecision('medium');
    expect(getFloat32MatmulPrecision()).toBe('medium');
    const coarse = /vdpbf16ps|tiles/.test(deviceInfo('cpu').products!.bfloat16) ? 1 : fine;
    const wanted = getDefaultDevice().startsWith('cuda') ? rounded : coarse;
    expect(matmul()).toBe(wanted);
    expect(convolution()).toBe(wanted);
  });
  test('know no other precision', () => {
    expect(() => setFloat32MatmulPrecision('low' as 'high')).toThrow(ArgumentError);
    expect(getFloat32MatmulPrecision()).toBe('highest');
  });
});
