/**
 * Null where the C ABI wants memory. Bun refuses null for a buffer before a call, so the functions are opened once more
 * with plain pointers, as callers in other languages pass them.
 */
import { dlopen } from 'bun:ffi';
import { expect, test } from 'bun:test';
import { zeros } from 'castor';
import { libraryPath, native } from '../runtime/ffi/library.ts';
import { describe, describeList } from '../runtime/ffi/view.ts';

const { symbols: open } = dlopen(libraryPath, {
  castor_memory: { args: ['i32', 'ptr'], returns: 'i32' },
  castor_write: { args: ['f64', 'f64', 'ptr', 'f64'], returns: 'i32' },
  castor_read: { args: ['f64', 'f64', 'ptr', 'f64'], returns: 'i32' },
  castor_free_many: { args: ['ptr', 'i32'], returns: 'i32' },
  castor_multi_sgd: { args: ['f64', 'i32', 'ptr', 'f64', 'f64'], returns: 'i32' },
  castor_multi_adam: { args: ['f64', 'i32', 'ptr', 'f64', 'f64'], returns: 'i32' },
  castor_update_scale: { args: ['f64', 'f64', 'f64', 'ptr'], returns: 'i32' },
});
const tensors = Array.from({ length: 5 }, () => zeros([]));
const { handle } = tensors[0]!.storage;

const one = (slot: number): number => describe(slot, tensors[slot]!);

const refused: readonly [call: string, run: () => number, text: string][] = [
  ['the statistics of memory', () => open.castor_memory(0, null), 'memory: stats is null'],
  ['a byte to write', () => open.castor_write(handle, 0, null, 1), 'write: host is null'],
  ['a byte to read', () => open.castor_read(handle, 0, null, 1), 'read: host is null'],
  ['a handle to free', () => open.castor_free_many(null, 1), 'free_many: handles is null'],
  ['the rule of SGD', () => open.castor_multi_sgd(describeList(tensors), 1, null, 0, 0), 'multi_sgd: hyper is null'],
  ['the rule of Adam', () => open.castor_multi_adam(describeList(tensors), 1, null, 0, 0), 'multi_adam: hyper is null'],
  [
    'the rule of the scale',
    () => open.castor_update_scale(one(0), one(1), one(2), null),
    'update_scale: hyper is null',
  ],
];
test.each(refused)('null for %s is refused', (_, run, text) => {
  expect(run()).toBe(1);
  expect(native.castor_last_error()).toBe(text);
});

const allowed: readonly [call: string, run: () => number][] = [
  ['no bytes to write', () => open.castor_write(handle, 0, null, 0)],
  ['no bytes to read', () => open.castor_read(handle, 0, null, 0)],
  ['no handles to free', () => open.castor_free_many(null, 0)],
];
test.each(allowed)('null for %s is as good as any pointer', (_, run) => {
  expect(run()).toBe(0);
});
