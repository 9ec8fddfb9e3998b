import { describe, expect, test } from 'bun:test';
import { tidy } from 'castor';
import { devices } from '../setup.ts';
import type { Values } from '../reference/values.ts';
import type { Skip, Variant } from './case.ts';
import { check, dtypesOf, layoutsOf, ownCases, type Trial } from './run.ts';

const skipOf = ({ skips }: Variant, { dtype, layouts }: Trial): Skip | undefined =>
  skips?.find(skip => (skip.dtype ?? dtype) === dtype && (skip.layout === undefined || layouts.includes(skip.layout)));

const attempt = (run: () => string | null): string | null => {
  try {
    return tidy(run);
  } catch (error) {
    return String(error);
  }
};

describe.each([...devices])('on %s', device => {
  test.each(ownCases)('%s matches its reference for every dtype and layout', (name, row) => {
    const wrong: string[] = [];
    row.variants.forEach((variant, number) => {
      const skipped = new Map<Skip, boolean>();
      const known = new Map<string, readonly Values[]>();
      for (const dtype of dtypesOf(row, variant))
        for (const layouts of layoutsOf(variant)) {
          const trial = { name: `${name} ${number}`, dtype, layouts, device };
          const problem = attempt(() => check(row, variant, trial, known));
          const skip = skipOf(variant, trial);
          if (skip) skipped.set(skip, (skipped.get(skip) ?? false) || problem !== null);
          else if (problem) wrong.push(`variant ${number}, ${dtype}, ${layouts.join(' and ')}: ${problem}`);
        }
      for (const skip of variant.skips ?? [])
        if (!skipped.get(skip)) wrong.push(`variant ${number}: the skip '${skip.reason}' is not needed any more`);
    });
    expect(wrong.slice(0, 6)).toEqual([]);
  });
});
