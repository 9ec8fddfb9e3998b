/**
 * tests/mutants.json lists changes that no test can notice. Each must be one that scripts/mutants.ts makes, and have a
 * reason.
 */
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mutationsOf } from '../scripts/mutations.ts';
import { root } from './process.ts';

interface Listed {
  readonly file: string;
  readonly before: string;
  readonly after: string | readonly string[];
  readonly reason: string;
}
const listed = JSON.parse(readFileSync(join(root, 'tests/mutants.json'), 'utf8')) as Listed[];

test('every change that is listed as showing nothing is possible, and has a reason', () => {
  const possible = new Map<string, Set<string>>();
  const key = (before: string, after: string): string => `${before}\n${after}`;
  for (const { file } of listed) {
    if (possible.has(file)) continue;
    const changes = mutationsOf(file, readFileSync(join(root, file), 'utf8'));
    possible.set(file, new Set(changes.map(({ before, after }) => key(before, after))));
  }
  const wrong = listed.flatMap(({ file, before, after, reason }) =>
    [after]
      .flat()
      .filter(change => reason.length < 10 || !possible.get(file)!.has(key(before, change)))
      .map(change => `${file}\n  - ${before}\n  + ${change}`),
  );
  expect(wrong).toEqual([]);
});
