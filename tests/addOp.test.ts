/**
 * An op from start to finish: the README's table says which lines it takes, and each that is missing is named by a machine, with the file
 * and a command. `npm run test:long` also compiles an op that is added to a copy of the project (scripts/addOp.ts).
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { libraryPath, opNumbers } from '../runtime/ffi/library.ts';
import { Copy, lines } from '../scripts/addOp.ts';
import { root } from './process.ts';

const readme = readFileSync(join(root, 'README.md'), 'utf8')
  .split('## One op from start to finish')[1]!
  .split('\n## ')[0]!;
/** The first two columns: a file, and a line of it. */
const rows = [...readme.matchAll(/^\| `([^`|]+)` \| `([^`|]+)`/gm)].map(([, file, line]) => ({
  file: file!,
  line: line!,
}));

describe('the table of one op in the README', () => {
  test('has the files that an op takes lines in', () => {
    expect(rows.map(({ file }) => file)).toEqual(
      expect.arrayContaining(
        Object.values(lines)
          .slice(0, 4)
          .map(({ file }) => file),
      ),
    );
  });
  test.each(rows)('$file has the line', ({ file, line }) => {
    expect(
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .map(text => text.trim()),
    ).toContain(line);
  });
});

/** Names in the sources of runtime/, as words. What the declarations name is made of the table. */
const named = new Set(
  [...new Bun.Glob('runtime/**/*.ts').scanSync(root)]
    .filter(file => !file.endsWith('/declarations.ts'))
    .flatMap(file => readFileSync(join(root, file), 'utf8').match(/\b\w+\b/g) ?? []),
);
test('every elementwise op of the native library is called by something', () => {
  const elementwise = ['unary', 'binary', 'compare', 'ternary'];
  const unknown = elementwise.flatMap(kind =>
    [...opNumbers.get(kind)!.keys()].filter(name => !named.has(name) && !named.has(name.replace(/Backward$/, ''))),
  );
  const advice = "Give each a row in runtime/ops/table.ts; then 'npm run check' says what else it takes";
  expect(unknown, `nothing calls ${unknown.join(', ')} of the native library. ${advice}`).toEqual([]);
});

describe('of an op that is added to a copy,', () => {
  let copy: Copy;
  beforeAll(() => {
    copy = new Copy();
    symlinkSync(libraryPath, join(copy.folder, 'build/libcastor.so'));
  });
  afterAll(() => copy.remove());

  test('a missing kernel is named when the library is loaded', async () => {
    copy.write();
    const { code, text } = await copy.bun('-e', "await import('castor')");
    expect([code, text]).toEqual([1, expect.stringContaining("lacks the unary op 'gudermannian'")]);
    expect(text).toContain(lines.kernel.file);
    expect(text).toContain('npm run build');
  });
  // A copy of the project without its packages, as for a check of a GPU, has no type checker.
  const typed = test.skipIf(!existsSync(join(root, 'node_modules')));
  typed('a missing derivative and a missing case are named by the type checker, and nothing else', async () => {
    copy.write('derivative', 'case');
    const { code, text } = await copy.bun('--no-script', 'check');
    expect(code).toBe(1);
    const errors = [...text.matchAll(/^(\S+)\(\d+,\d+\): error .*'gudermannian'/gm)].map(match => match[1]);
    expect(errors.toSorted()).toEqual([lines.derivative.file, 'runtime/ops/derivatives/index.ts', lines.case.file]);
  });
});
