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
import { printed } from './process.ts';

afterEach(() => setFloat32MatmulPrecision('highest'));

/** A float above 1 that tf32, with 10 bits of mantissa, rounds to 1. */
const fine = 1 + 2 ** -12;
const onCuda = getDefaultDevice().startsWith('cuda');
/** The results that a product may have where tf32 is allowed: cuBLASLt may compute small products in float32 all the same. */
const allowed = onCuda ? [1, fine] : [fine];

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
    expect(allowed).toContain(matmul());
    expect(allowed).toContain(convolution());
  });
  test.if(onCuda)('round their factors to tf32 in the kernels of Castor', async () => {
    const program = `c.setFloat32MatmulPrecision('high');
      print(c.full([16, 16], ${fine}).matmul(c.eye(16)).at(3, 3).itemSync());
      print(c.F.conv2d(c.full([1, 1, 16, 16], ${fine}), c.ones([16, 1, 1, 1])).at(0, 3, 3, 3).itemSync());`;
    expect(await printed(program, { CASTOR_CUBLAS: '0' })).toEqual(['1', '1']);
  });
  test('round their factors to bfloat16 on a CPU with a unit for it when that is allowed', () => {
    setFloat32MatmulPrecision('medium');
    expect(getFloat32MatmulPrecision()).toBe('medium');
    const coarse = /vdpbf16ps|tiles/.test(deviceInfo('cpu').products!.bfloat16) ? 1 : fine;
    const wanted = onCuda ? allowed : [coarse];
    expect(wanted).toContain(matmul());
    expect(wanted).toContain(convolution());
  });
  test('know no other precision', () => {
    expect(() => setFloat32MatmulPrecision('low' as 'high')).toThrow(ArgumentError);
    expect(getFloat32MatmulPrecision()).toBe('highest');
  });
});
