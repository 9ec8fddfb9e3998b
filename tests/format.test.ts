/** The format of files that `npm run fmt` does not format: .editorconfig says the same to editors. */
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './process.ts';

const filesOf = (...globs: readonly string[]): string[] =>
  globs
    .flatMap(glob => [...new Bun.Glob(glob).scanSync({ cwd: root, dot: true })])
    .filter(path => !/(^|\/)(node_modules|build)\//.test(path))
    .toSorted();
const native = filesOf(
  ...['abi', 'cpu', 'kernels', 'cuda', 'tests/kernels'].map(folder => `${folder}/**/*.{c,cpp,h,cu,inc}`),
);
const folders = ['docs', 'runtime', 'scripts', 'tests', 'benchmarks', '.github'];
const others = filesOf(...folders.map(folder => `${folder}/**/*.{md,py,txt}`), '*.md', '**/CMakeLists.txt');

/** Places of a file's lines for which something is wrong. */
const places = (files: readonly string[], isWrong: (line: string) => boolean): string[] =>
  files.flatMap(file =>
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .flatMap((line, i) => (isWrong(line) ? [`${file}:${i + 1}`] : [])),
  );

test('files are found', () => {
  expect(native.length).toBeGreaterThan(250);
  expect(others.length).toBeGreaterThan(20);
});
test('lines of C++ and CUDA have at most 140 columns', () => {
  expect(places(native, line => [...line].length > 140)).toEqual([]);
});
test('no line ends with a space, and none has a tab or a carriage return', () => {
  expect(places([...native, ...others], line => / $|[\t\r]/.test(line))).toEqual([]);
});
test('blocks of C++ and CUDA are indented by two spaces', () => {
  // Lines that go on are aligned with the line before: only a line that begins a statement after `{` is looked at.
  const wrong = native.flatMap(file => {
    const lines = readFileSync(join(root, file), 'utf8').split('\n');
    return lines.flatMap((line, i) => {
      const head = /^( *)(?:if|for|while|struct|class|switch|else|do)\b[^"]*\{$/.exec(lines[i - 1] ?? '');
      const own = /^( *)\S/.exec(line);
      if (head === null || own === null || /^ *(#|public:|private:|protected:|case |default:)/.test(line)) return [];
      const deeper = own[1]!.length - head[1]!.length;
      return deeper === 2 || line.trim() === '}' ? [] : [`${file}:${i + 1}`];
    });
  });
  expect(wrong).toEqual([]);
});
test('files end with one line feed', () => {
  const wrong = [...native, ...others].filter(file => !/[^\n]\n$/.test(readFileSync(join(root, file), 'utf8')));
  expect(wrong).toEqual([]);
});
