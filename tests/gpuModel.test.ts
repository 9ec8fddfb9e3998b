import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { libraryPath } from '../runtime/ffi/library.ts';
import type { Call } from '../scripts/gpuModel/calls.ts';
import type { Gpu } from '../scripts/gpuModel/devices.ts';
import { rowsOf, secondsOf, timeOf } from '../scripts/gpuModel/roofline.ts';
import { modelPage, PAGE } from '../scripts/gpuModel.ts';
import { onEmulator } from './setup.ts';

const gpu: Gpu = { name: 'small', bandwidth: 100, half: 1000, float32: 10, memory: 1 };
const call = (name: string, bytes: number, flops: number, unit: Call['unit']): Call => ({
  name,
  launches: 1,
  bytes,
  flops,
  unit,
});

describe('the roofline', () => {
  test('is the longer of the time for bytes and the time for products', () => {
    expect(timeOf(call('add', 200, 0, 'float32'), gpu)).toBe(2);
    expect(timeOf(call('matmul', 200, 4000, 'half'), gpu)).toBe(4);
    expect(timeOf(call('matmul', 200, 4000, 'float32'), gpu)).toBe(400);
    expect(timeOf(call('add', 200, 0, 'float32'), gpu, { bytes: 0.5, products: 1 })).toBe(4);
  });
  test('adds calls up by name, and says what bounds them', () => {
    const calls = [call('add', 100, 0, 'float32'), call('matmul', 100, 5000, 'half'), call('add', 300, 0, 'float32')];
    const step = { calls, parameters: 1, tokens: 1, peakBytes: 1 };
    expect(secondsOf(step, gpu)).toBe(9);
    expect(rowsOf(step, [gpu])).toEqual([
      { name: 'matmul', calls: 1, launches: 1, bytes: 100, flops: 5000, seconds: [5], bound: ['products'] },
      { name: 'add', calls: 2, launches: 2, bytes: 400, flops: 0, seconds: [4], bound: ['bytes'] },
    ]);
  });
});

describe.if(onEmulator)('docs/gpu-model.md', () => {
  test('is what `npm run gpu:model` writes', async () => {
    expect(readFileSync(PAGE, 'utf8')).toBe(await modelPage(libraryPath));
  });
});
