import { describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { tidy } from 'castor';
import { disagreement, type Program } from '../scripts/parity/compare.ts';
import { load } from './golden/load.ts';
import { devices } from './setup.ts';

/** These were written by `python3 scripts/parity/programs.py 250 7`. */
const programs = load<Program>('programs');

/** On a GPU, an invalid index is an error of a later call. */
const refused = (program: Program): boolean => program.steps.some(step => step.error);

for (const device of devices)
  describe(`random programs that PyTorch ran, on ${device}`, () => {
    for (const family of new Set(programs.map(program => program.family)))
      test(family, () => {
        const some = programs.filter(program => program.family === family && (device === 'cpu' || !refused(program)));
        expect(some.length).toBeGreaterThan(0);
        for (const program of some)
          expect(
            tidy(() => disagreement(program, device)),
            `program ${program.number}`,
          ).toBeNull();
      });
  });

describe('random programs', () => {
  const changed = (change: (program: Program) => Program): number =>
    programs.filter(program => tidy(() => disagreement(change(program))) !== null).length;
  const shifted = <T extends { data: unknown[] }>(stored: T): T => ({
    ...stored,
    data: stored.data.map(x => (typeof x === 'number' ? x + 1e-6 : x)),
  });

  test('differ where a value, a gradient, a shape or an error differs', () => {
    expect(changed(p => ({ ...p, values: p.values.map(shifted) }))).toBeGreaterThan(200);
    const gradients = (p: Program): Program['gradients'] => p.gradients.map(([i, g]) => [i, g && shifted(g)]);
    expect(changed(p => ({ ...p, gradients: gradients(p) }))).toBeGreaterThan(100);
    expect(changed(p => ({ ...p, values: p.values.map(v => ({ ...v, shape: [...v.shape, 1] })) }))).toBe(
      programs.length,
    );
    const failing = (p: Program): Program => ({ ...p, steps: p.steps.map(step => ({ ...step, error: true })) });
    expect(changed(failing)).toBe(programs.length);
  });
});

test('npm run parity says what it needs', () => {
  const script = join(import.meta.dirname, '../scripts/parity.ts');
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, script, '--python', '/nowhere/python3']);
  expect(exitCode).toBe(2);
  expect(stderr.toString()).toMatch(/^castor: parity needs python3 with torch .*\n$/);
});
