/** Files are written and read in pieces of 4 MiB: tensors around that size, and a file that changes while it is read. */
import { expect, test } from 'bun:test';
import { copyFileSync, truncateSync } from 'node:fs';
import { arange, CheckpointError, io, tidy, type Tensor } from 'castor';
import { liveStorages } from '../setup.ts';
import { place, useFolder } from './place.ts';

useFolder();

const PIECE = 4 * 2 ** 20;
const dispose = (tensors: Iterable<Tensor>): void => {
  for (const t of tensors) t.dispose();
};
/** Numbers that differ at every place, so that bytes of a wrong place are noticed. */
const numbers = (count: number): Tensor => arange(count, { dtype: 'int32' });

const largestDifference = (a: Tensor, b: Tensor): number => tidy(() => Number(a.sub(b).abs().max().itemSync()));

test('tensors that end at the border of a piece, and beside it', async () => {
  const places = [PIECE - 4, PIECE, PIECE + 4, 2 * PIECE - 4, 2 * PIECE + 4];
  for (const bytes of places) {
    const saved = { first: numbers(bytes / 4), second: numbers(3) };
    await io.saveTensors(place('w'), saved);
    const { tensors } = await io.loadTensors(place('w'));
    for (const [name, t] of Object.entries(saved)) {
      expect(tensors.get(name)!.shape).toEqual(t.shape);
      expect(largestDifference(tensors.get(name)!, t)).toBe(0);
    }
    dispose([...tensors.values(), ...Object.values(saved)]);
  }
});

test('a file that becomes shorter while it is read is an error, never other numbers', async () => {
  const count = (5 * PIECE) / 8;
  const saved = numbers(count);
  await io.saveTensors(place('whole'), { saved });
  const before = liveStorages('cpu');
  let failures = 0;
  for (let turns = 0; turns < 12; turns++) {
    copyFileSync(place('whole'), place('cut'));
    const loading = io.loadTensors(place('cut')).then(
      ({ tensors }) => tensors,
      (error: unknown) => error,
    );
    for (let i = 0; i < turns; i++) await new Promise(resolve => setImmediate(resolve));
    // In the last piece, whose memory still holds bytes of the one before.
    truncateSync(place('cut'), 2 * PIECE + PIECE / 4);
    const result = await loading;
    if (result instanceof Map) {
      expect(largestDifference(result.get('saved') as Tensor, saved)).toBe(0);
      dispose(result.values());
    } else {
      expect(result).toBeInstanceOf(CheckpointError);
      failures++;
    }
    expect(liveStorages('cpu')).toBe(before);
  }
  expect(failures).toBeGreaterThan(1);
  saved.dispose();
});
