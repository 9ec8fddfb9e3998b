/** The reader of libraries for macOS, on small files that are made here. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { libraryFacts } from '../scripts/release/library.ts';
import { readMachO } from '../scripts/release/machO.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-mach-o-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const words = (...numbers: readonly number[]): Buffer => Buffer.from(Uint32Array.from(numbers).buffer);
const text = (value: string, length: number): Buffer =>
  Buffer.concat([Buffer.from(value), Buffer.alloc(length)], length);
/** A load command: its number, its length and its content. */
const command = (kind: number, content: Buffer): Buffer => Buffer.concat([words(kind, 8 + content.length), content]);

/** The tree of _castor_add, _castor_abs and _x: a root, the node of "_castor_a" with two leaves below it, and three leaves. */
const leaf = [2, 0, 0, 0];
const tree = Buffer.from([
  ...[0, 2, ...Buffer.from('_castor_a\0'), 17, ...Buffer.from('_x\0'), 35],
  ...[0, 2, ...Buffer.from('dd\0'), 27, ...Buffer.from('bs\0'), 31],
  ...[...leaf, ...leaf, ...leaf],
]);

interface Options {
  readonly processor?: number;
  /** The name of a symbol within the library. */
  readonly local?: string;
  readonly more?: readonly Buffer[];
  /** The command that says where the tree is. */
  readonly exports?: (start: number, size: number) => Buffer;
}
const ownCommand = (start: number, size: number): Buffer => command(0x80000033, words(start, size));
const oldCommand = (start: number, size: number): Buffer =>
  command(0x80000022, words(0, 0, 0, 0, 0, 0, 0, 0, start, size));

/** A library that needs libSystem and its dlopen(). */
function made({ processor = 0x0100000c, local, more = [], exports = ownCommand }: Options = {}): string {
  const names = Buffer.from(`\0_dlopen\0${local ?? ''}\0`);
  const locals = local === undefined ? 0 : 1;
  const symbols = Buffer.concat([...(locals ? [words(9, 14, 0, 0)] : []), words(1, 1, 0, 0)]);
  const commands = (start: number): Buffer =>
    Buffer.concat([
      command(0xc, Buffer.concat([words(24, 0, 0, 0), text('/usr/lib/libSystem.B.dylib', 32)])),
      command(0x32, words(1, 0xd0000, 0, 0)),
      command(0x2, words(start, locals + 1, start + symbols.length, names.length)),
      command(0xb, words(0, locals, locals, 0, locals, 1)),
      exports(start + symbols.length + names.length, tree.length),
      ...more,
    ]);
  const size = commands(0).length;
  const header = words(0xfeedfacf, processor, 0, 6, 5 + more.length, size, 0, 0);
  const path = join(folder, 'made.dylib');
  writeFileSync(path, Buffer.concat([header, commands(32 + size), symbols, names, tree]));
  return path;
}
const signature = command(0x1d, words(0, 0));
const debugging = command(0x19, Buffer.concat([text('__DWARF', 16), Buffer.alloc(48)]));

test('a library names its processor, system, needs and exports', () => {
  expect(readMachO(made({ more: [signature] }))).toEqual({
    machine: 'AArch64',
    oldest: '13.0',
    needed: ['/usr/lib/libSystem.B.dylib'],
    exported: ['castor_add', 'castor_abs', 'x'],
    imported: ['dlopen'],
    signed: true,
    stripped: true,
  });
});
test('of an older form has its exports elsewhere', () => {
  expect(readMachO(made({ exports: oldCommand })).exported).toEqual(['castor_add', 'castor_abs', 'x']);
  expect(readMachO(made({ exports: () => command(0x2b, words(0, 0)) })).exported).toEqual([]);
});
test('a signature, symbols for debuggers and another processor are noticed', () => {
  expect(readMachO(made()).signed).toBe(false);
  expect(readMachO(made({ local: '_secret' }))).toMatchObject({ stripped: false, imported: ['dlopen'] });
  expect(readMachO(made({ local: '_dlopen__thunk' })).stripped).toBe(true);
  expect(readMachO(made({ more: [debugging] })).stripped).toBe(false);
  expect(readMachO(made({ processor: 0x01000007 })).machine).toBe('Advanced Micro Devices X86-64');
  expect(readMachO(made({ processor: 7 })).machine).toBe('processor 7');
});
test('the facts of a package are read from it', () => {
  expect(libraryFacts(made({ more: [signature] }))).toMatchObject({ system: 'macOS', macos: '13.0', stays: true });
});
