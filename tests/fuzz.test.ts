import { describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { Dice } from '../scripts/fuzz/dice.ts';

const script = join(import.meta.dirname, '../scripts/fuzz.ts');

async function fuzz(...options: string[]): Promise<{ code: number; text: string }> {
  const child = Bun.spawn([process.execPath, script, '--jobs', '1', ...options], { stdout: 'pipe', stderr: 'pipe' });
  const [text, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, text: text + errors };
}

describe('the fuzzer', () => {
  test('makes calls, and finds nothing', async () => {
    const { code, text } = await fuzz('--calls', '600', '--seed', '11');
    expect(text).toMatch(/^600 calls of seed 11: .*\d+ result/);
    expect(text).toContain('\n0 findings');
    expect(code).toBe(0);
  });
  test.each(['hang', 'crash', 'memory', 'internal'])(
    'finds a %s, tells the call, and goes on behind it',
    async plant => {
      const { code, text } = await fuzz('--calls', '30', '--hang', '2', '--memory', '800', '--plant', plant);
      expect(text).toMatch(new RegExp(`^30 calls of seed 1: .*1 ${plant}`));
      expect(text).toMatch(/call 4: planted\(\)/);
      expect(text).toMatch(/[1-9]\d* result/);
      expect(text).toContain('\n1 findings');
      expect(code).toBe(1);
    },
  );
  test('makes the same choices for the same seed and call', () => {
    const choices = (seed: number, call: number): number[] => {
      const dice = new Dice(seed, call);
      return Array.from({ length: 5 }, () => dice.below(1000));
    };
    expect(choices(1, 2)).toEqual(choices(1, 2));
    expect(choices(1, 2)).not.toEqual(choices(1, 3));
    expect(choices(1, 2)).not.toEqual(choices(2, 2));
  });
});
