import { expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { ArgumentError, data, Generator, tidy } from 'castor';
import { systemReason } from '../../runtime/io/files.ts';
import { place, useFolder } from './place.ts';

useFolder();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('readPages reads a file, or the texts of a folder', () => {
  mkdirSync(place('pages/deep'), { recursive: true });
  for (const [name, text] of [
    ['b', 'two'],
    ['a', 'one'],
    ['deep/c', 'three'],
    ['.hidden', 'no'],
    ['binary', 'n\0o'],
    ['none', ''],
  ])
    writeFileSync(place(`pages/${name}`), text!);
  execFileSync('mkfifo', [place('pages/pipe')]);
  symlinkSync(place('pages/a'), place('pages/link'));
  expect(data.readPages(place('pages')).map(page => new TextDecoder().decode(page))).toEqual(['one', 'two', 'three']);
  expect(data.readPages(place('pages/a'))).toEqual([bytes('one')]);
});
test('readPages says what is wrong with a path', () => {
  symlinkSync(place('ring'), place('ring'));
  const wrong: [unknown, RegExp][] = [
    [3, /3 is not a path/],
    [null, /null is not a path/],
    ['', /path is empty/],
    ['a\0b', /zero byte/],
    [place('nowhere'), /there is no file or folder/],
    [place('pages/pipe'), /is a named pipe/],
    ['/dev/zero', /is a device/],
    [place('ring'), /circle \(ELOOP\)/],
    [place('n'.repeat(300)), /too long/],
    [place('pages/a/b'), /there is no file or folder|ENOTDIR/],
    [place('pages/none'), /there is no text/],
  ];
  for (const [path, message] of wrong) {
    expect(() => data.readPages(path as string)).toThrow(ArgumentError);
    expect(() => data.readPages(path as string)).toThrow(message);
  }
});
test('an error of the file system is known by its code, which may have digits', () => {
  const error = (code: unknown): Error => Object.assign(new Error('argument list too long'), { code });
  expect(systemReason(error('E2BIG'))?.why).toBe('argument list too long (E2BIG)');
  for (const code of ['ERR_INVALID_ARG_TYPE', 'EACCES ', 'XEACCES', 3]) expect(systemReason(error(code))).toBeNull();
});
test('holdOut and ByteWindows take what makes sense', () => {
  for (const n of [0, 1, -1, 2.5, NaN, Infinity, '2'])
    expect(() => data.holdOut([bytes('abc')], n as number)).toThrow(ArgumentError);
  const { train, heldOut } = data.holdOut([bytes('abcdef')], 3);
  expect([train, heldOut]).toEqual([bytes('abcd'), bytes('ef')]);
  const pages = ['a', 'b', 'c', 'd', 'e'].map(bytes);
  expect(data.holdOut(pages, 2)).toEqual({ train: bytes('bd'), heldOut: bytes('ace') });
  expect(data.holdOut(pages, 5)).toEqual({ train: bytes('bcde'), heldOut: bytes('a') });
  expect(data.holdOut(pages, 6)).toEqual({ train: bytes('abcde'), heldOut: bytes('') });
  for (const context of [0, -1, 1.5, NaN, '2'])
    expect(() => new data.ByteWindows(bytes('abc'), context as number)).toThrow(ArgumentError);
  for (const text of ['abc', [1, 2, 3], null, new Float32Array(9)])
    expect(() => new data.ByteWindows(text as never, 1)).toThrow(/the text is/);
});
test('a text of one window is enough', () =>
  tidy(() => {
    using windows = new data.ByteWindows(bytes('ab'), 1);
    expect(windows.random(2, new Generator(1)).target.toArraySync()).toEqual([[98], [98]]);
    expect(() => new data.ByteWindows(bytes('a'), 1)).toThrow(/a text of 1 bytes has no window of 2/);
  }));
test('windows are spread from the first byte to the last, and drawn from all places', () =>
  tidy(() => {
    using windows = new data.ByteWindows(bytes('abcdefghij'), 3);
    const text = (rows: unknown): string[] => (rows as number[][]).map(row => String.fromCharCode(...row));
    const batches = [...windows.spread(2, 2)].map(({ input, target }) =>
      [input, target].map(t => text(t.toArraySync())),
    );
    expect(batches).toEqual([
      [
        ['abc', 'cde'],
        ['bcd', 'def'],
      ],
      [
        ['efg', 'ghi'],
        ['fgh', 'hij'],
      ],
    ]);
    const { input, target } = windows.random(200, new Generator(1));
    const starts = input.select(1, 0).toArraySync() as number[];
    expect([Math.min(...starts), Math.max(...starts)]).toEqual(['a', 'g'].map(letter => letter.charCodeAt(0)));
    expect(target.select(1, 0).toArraySync()).toEqual(starts.map(start => start + 1));
  }));
