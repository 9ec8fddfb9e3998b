import { describe, expect, test } from 'bun:test';
import { ArgumentError, CastorError, DTypeError, fromTypedArray, full, ShapeError, tensor, tidy, zeros } from 'castor';
import { unlessEmulated } from './processor.ts';

/** Typed arrays that tensors are created from, and that tensors are read into. */

const any = (value: unknown): any => value;

describe('a typed array is what the engine says it is', () => {
  const liar = (): Float32Array => {
    const array = new Float32Array([1, 2, 3, 4]);
    Object.defineProperty(array, 'length', { value: 1024 });
    Object.defineProperty(array, 'byteLength', { value: 4096 });
    return array;
  };
  test('whatever its own properties say', () =>
    tidy(() => {
      expect(() => fromTypedArray(liar(), [1024])).toThrow(ShapeError);
      expect(fromTypedArray(liar(), [4]).toArraySync()).toEqual([1, 2, 3, 4]);
      expect(tensor(liar()).shape).toEqual([4]);
    }));
  test('whatever its class says', () =>
    tidy(() => {
      class Long extends Float64Array {
        override get length(): any {
          return 100;
        }
        override get [Symbol.toStringTag](): any {
          return 'Int32Array';
        }
      }
      expect(tensor(new Long(2)).shape).toEqual([2]);
      expect(tensor(new Long(2)).dtype).toBe('float64');
      const disguised = Object.setPrototypeOf(new Float64Array([1, 2]), Float32Array.prototype) as Float32Array;
      const t = tensor(disguised);
      expect([t.dtype, t.toArraySync()]).toEqual(['float64', [1, 2]]);
    }));
  test('and what is none is refused', () => {
    for (const wrong of [
      Object.create(Float32Array.prototype),
      new Proxy(new Float32Array(2), {}),
      { length: 2, byteLength: 8 },
    ])
      expect(() => fromTypedArray(any(wrong), [2])).toThrow(CastorError);
    expect(() => tensor(any(new DataView(new ArrayBuffer(8))))).toThrow(DTypeError);
    expect(() => tensor(any(new Int8Array(2)))).toThrow(/no dtype for a Int8Array/);
  });
  test('also when its memory went elsewhere', () =>
    tidy(() => {
      const moved = new Float32Array([1, 2]);
      structuredClone(moved.buffer, { transfer: [moved.buffer] });
      expect(tensor(moved).shape).toEqual([0]);
    }));
  unlessEmulated('Bun ends itself in qemu-user 7.2 where an ArrayBuffer gets a maxByteLength (mprotect fails)')(
    'also when its memory has another size by now',
    () =>
      tidy(() => {
        const buffer = new ArrayBuffer(16, { maxByteLength: 32 });
        const growing = new Float32Array(buffer);
        buffer.resize(32);
        expect(tensor(growing).shape).toEqual([8]);
        buffer.resize(4);
        expect(tensor(growing).shape).toEqual([1]);
      }),
  );
});

describe('a tensor that no typed array can hold', () => {
  test('is refused before it is read', async () => {
    const vast = full([1], 1).expand([2 ** 30 + 1]);
    const most = zeros([1], { dtype: 'bfloat16' }).expand([2 ** 31]);
    for (const t of [vast, most]) {
      const reads = [() => t.dataSync(), () => t.toArraySync()];
      for (const read of reads) expect(read).toThrow(ArgumentError);
      expect(reads[0]!).toThrow(/an array has at most 4294967296.*narrow.*saveTensors/);
      await expect(t.data()).rejects.toThrow(/an array has at most/);
      await expect(t.toArray()).rejects.toThrow(ArgumentError);
    }
    vast.base!.dispose();
    most.base!.dispose();
  });
});
