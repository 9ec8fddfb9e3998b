import { describe, expect, test } from 'bun:test';
import { F, nn, Tensor, tidy } from 'castor';
import { page, PAGE } from '../../scripts/ampPage.ts';
import { cases } from './cases.ts';

const known = (name: string): boolean => name in F || name in Tensor.prototype || name.toLowerCase() in nn;

describe('conformance of mixed precision', () => {
  test('has every case once, and a reason for each that is not run', () => {
    const ids = [
      ...Array.from({ length: 74 }, (_, i) => String(i + 1)),
      ...Array.from({ length: 15 }, (_, i) => `E${i + 1}`),
    ];
    expect(cases.map(({ id }) => id)).toEqual(ids);
    expect(cases.filter(({ run, reason }) => !run === !reason)).toEqual([]);
  });
  test('lists as pending only ops that Castor does not have', () => {
    expect(cases.flatMap(({ pending = [] }) => pending.filter(known))).toEqual([]);
  });
  test('stands on its page as it is', async () => {
    expect(await Bun.file(PAGE).text()).toBe(page());
  });

  for (const { id, title, run } of cases)
    if (run)
      test(`${id}: ${title}`, () => {
        const result = tidy(run);
        return result;
      });
});
