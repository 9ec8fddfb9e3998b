/** The check of the links of the API reference: `npm run docs` makes the pages, and takes too long to run with the tests. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fault } from '../scripts/docs.ts';

let folder: string;
let page: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-docs-'));
  page = join(folder, 'index.html');
  mkdirSync(join(folder, 'classes'));
  writeFileSync(page, '<a id="top" href="#top">');
  writeFileSync(join(folder, 'classes/A B.html'), '<h2 id="add_"><a name="x&lt;y">');
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each([
  '#top',
  'index.html',
  'classes/A%20B.html#add_',
  'classes/A%20B.html#x%3Cy',
  'https://bun.sh/no',
  '#',
  'data:x',
])('the link %s leads somewhere', link => expect(fault(page, link)).toBeNull());
test('a link to no page and a link to no place on a page are faults', () => {
  expect(fault(page, 'classes/B.html')).toBe('there is no such file');
  expect(fault(page, 'classes/A%20B.html#add')).toBe('the page has no such place');
  expect(fault(page, '#bottom')).toBe('the page has no such place');
  expect(fault(join(folder, 'classes/A B.html'), 'index.html')).toBe('there is no such file');
});
