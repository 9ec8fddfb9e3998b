import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './process.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-limit-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A test file whose test takes a second, and one that also fails on its third line. */
const slow = "import { expect, test } from 'bun:test';\ntest('sleeps', async () => { await Bun.sleep(1000); });\n";
const failing = `${slow}test('fails', () => { expect(1).toBe(2); });\n`;

/** Runs `bun test` on three files at once, with this project's setup. Returns what it prints. */
function runThree(limit: string, contents: string): string {
  const files = ['a', 'b', 'c'].map(name => join(folder, `${name}.test.ts`));
  for (const file of files) writeFileSync(file, contents);
  const { stdout, stderr } = Bun.spawnSync(
    [process.execPath, 'test', '--preload', join(root, 'tests/setup.ts'), ...files],
    { cwd: folder, env: { ...process.env, CASTOR_TEST_LIMIT: limit } },
  );
  return Bun.stripANSI(stdout.toString() + stderr.toString());
}
const countOf = (text: string, part: RegExp): number => text.match(part)?.length ?? 0;

test('the time limit of tests holds in every file of a run, not in the first alone', () => {
  const text = runThree('200', slow);
  expect([countOf(text, /timed out after 200ms/g), text]).toEqual([3, expect.stringContaining('3 fail')]);
});

test('failures name the lines of the test files', () => {
  const text = runThree('60000', failing);
  expect([countOf(text, /[abc]\.test\.ts:3:\d+/g), text]).toEqual([3, expect.stringContaining('3 fail')]);
});
