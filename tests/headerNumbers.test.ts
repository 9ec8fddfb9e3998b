/** The numbers of abi/castor.h that callers pass and get: a change of one is a change of the ABI. */
import { expect, test } from 'bun:test';
import { ABI_VERSION } from '../runtime/ffi/library.ts';
import { OUT_OF_MEMORY } from '../runtime/ffi/check.ts';
import { dtypes } from '../runtime/tensor/dtype.ts';
import { header } from './header.ts';

const numbersOf = (name: string): Record<string, number> => {
  const [, body] = new RegExp(`typedef enum castor_${name} \\{([^}]*)\\}`).exec(header)!;
  return Object.fromEntries([...body!.matchAll(/CASTOR_(\w+) = (\d+)/g)].map(([, key, n]) => [key!, Number(n)]));
};

test('dtypes have the numbers that the runtime passes', () => {
  const passed = Object.values(dtypes).map(({ name, code }) => [name.toUpperCase(), code]);
  expect(numbersOf('dtype')).toEqual(Object.fromEntries(passed));
});
test('statuses and devices keep their numbers', () => {
  expect(numbersOf('device_kind')).toEqual({ CPU: 0, CUDA: 1 });
  const statuses = numbersOf('status');
  expect(statuses).toEqual({
    OK: 0,
    ARGUMENT: 1,
    SHAPE: 2,
    DTYPE: 3,
    DEVICE: 4,
    INDEX: 5,
    OUT_OF_MEMORY,
    DISPOSED: 7,
    INTERNAL: 8,
    CAPTURE: 9,
    LOST: 10,
    ABORTED: 11,
  });
  expect(OUT_OF_MEMORY).toBe(6);
});
test('the version is that of the runtime, and a view has 8 axes at most', () => {
  expect(header).toContain(`#define CASTOR_ABI_VERSION ${ABI_VERSION}\n`);
  expect(header).toContain('#define CASTOR_MAX_RANK 8\n');
});
