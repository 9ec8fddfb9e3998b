/** The text of an autocast report: units of bytes at their limit, singular and plural, and columns that line up. */
import { describe, expect, test } from 'bun:test';
import { autocast, zeros, type Tensor } from 'castor';
import { devices } from './setup.ts';

describe.each(devices)('the report on %s', device => {
  const text = async (run: () => Tensor[]): Promise<string> => {
    const { report } = await autocast.report({ device, dtype: 'bfloat16' }, () => {
      for (const t of run()) t.dispose();
    });
    return `${report}`;
  };
  const product = (n: number): Tensor => {
    using row = zeros([1, n], { device });
    using column = zeros([n, 1], { device });
    return row.matmul(column);
  };

  test('names one call and several', async () => {
    expect(await text(() => [product(1)])).toStartWith('1 call, ');
    expect(await text(() => [product(1), product(1)])).toStartWith('2 calls, ');
    expect(await text(() => [product(1)])).toContain('; 2 casts of 0.0 kB, 0 spared by the cache\n');
  });
  test('counts bytes in kB below a MB', async () => {
    // Copies of two operands of n elements are made, of 2 bytes each.
    for (const [n, said] of [
      [512, '2.0 kB'],
      [2 ** 18 - 128, '1023.5 kB'],
      [2 ** 18, '1.0 MB'],
      [2 ** 19, '2.0 MB'],
    ] as const)
      expect(await text(() => [product(n)])).toContain(`; 2 casts of ${said}, `);
  });
  test('lines up its columns', async () => {
    const lines = (await text(() => [product(2 ** 19)])).split('\n');
    const at = lines[1]!.indexOf('out');
    expect(lines[2]!.slice(at - 2, at + 1)).toBe('  b');
    expect(lines[2]!.slice(0, 3)).toBe('  m');
    expect(lines.every(line => line === line.trimEnd())).toBe(true);
  });
});
