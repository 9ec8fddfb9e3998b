import { describe, expect, test } from 'bun:test';
import { F, nn, Tensor, tidy } from 'castor';
import { page, PAGE } from '../../scripts/ampPage.ts';
import { cases, testName } from './cases.ts';

/** As PyTorch, Castor or nn may spell it: lstm_cell, lstmCell, LSTMCell. */
const plain = (name: string): string => name.toLowerCase().replaceAll('_', '');
const own = new Set(
  [F, nn, nn.functional].flatMap(Object.keys).concat(Object.getOwnPropertyNames(Tensor.prototype)).map(plain),
);
const known = (name: string): boolean => own.has(plain(name));

describe('conformance of mixed precision', () => {
  test('has every case once, and a reason for each that is not run', () => {
    const ids = [
      ...Array.from({ length: 74 }, (_, i) => String(i + 1)),
      ...Array.from({ length: 16 }, (_, i) => `E${i + 1}`),
    ];
    expect(cases.map(({ id }) => id)).toEqual(ids);
    expect(cases.filter(({ run, reason }) => !run === !reason)).toEqual([]);
  });
  test('lists as pending only ops that Castor does not have', () => {
    expect(['layer_norm', 'embedding', 'scaled_dot_product_attention', 'matmul'].filter(name => !known(name))).toEqual(
      [],
    );
    expect(cases.flatMap(({ pending = [] }) => pending.filter(known))).toEqual([]);
  });
  test('stands on its page as it is', async () => {
    const text = await Bun.file(PAGE).text();
    expect(text, "docs/autocast.md is not what the op table says; write it again with 'npm run docs:autocast'").toBe(
      page(),
    );
  });

  for (const { run, ...named } of cases)
    if (run)
      test(testName(named), () => {
        const result = tidy(run);
        return result;
      });
});
