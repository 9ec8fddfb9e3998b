/** Tests what editors show of every public name, by the language services of TypeScript 5.9 and of the newest one. */
import { beforeAll, describe, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { F, Tensor } from 'castor';
import type { Shown, Use } from './hovers.ts';
import { root } from './process.ts';

/** Machines that only run Castor have no TypeScript. */
const editors = existsSync(join(root, 'node_modules/typescript-5.9'));

/** Names that are called in two ways with two kinds of results: a tensor or a pair, gradients that may be null, with or without options. */
const twoForms = [
  'F.max',
  'F.min',
  'castorTensor.max',
  'castorTensor.min',
  'autograd.grad',
  'castor.autocast',
  'autograd.inferenceMode',
  'castor.inferenceMode',
];
/** The newest TypeScript shows no documentation for a name that stands for a module, wherever the comment is. */
const modules = [
  'nn.init',
  ...['graph', 'autograd', 'nn', 'optim', 'data', 'io', 'train'].map(name => `castor.${name}`),
];

/** `a extends b ? c : d`, but not the bound of a type parameter. */
const conditional = /\bextends\b[^;>]*\? |\binfer\b/;
const overloads = /\+\d+ overload|\{\s+(<.*>)?\(/;

describe.skipIf(!editors)('an editor shows', () => {
  let found: readonly Use[];
  const shown = new Map<string, readonly Shown[]>();
  beforeAll(async () => {
    const { shownBy59, shownByServer, uses } = await import('./hovers.ts');
    const { text, uses: all, ask } = uses();
    found = all;
    shown.set('5.9', shownBy59(ask, all));
    shown.set('the newest', await shownByServer(text, all));
  });
  /** The names for which what a service shows is not as it should be. */
  const wrong = (version: string, isWrong: (shown: Shown, use: Use) => boolean): string[] =>
    found.filter((_, i) => isWrong(shown.get(version)![i]!, found[i]!)).map(({ name }) => name);

  test('every public name', () => {
    expect(found.length).toBeGreaterThan(650);
    const names = found.map(({ name }) => name);
    const known = ['F.crossEntropy', 'castorTensor.add_', 'castorTensor.shape', 'nnModule.parameters', 'castor.zeros'];
    expect(names).toEqual(expect.arrayContaining([...known, ...twoForms, ...modules, 'memory.peak', 'autocast.wrap']));
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
    for (const name of Object.keys(F)) expect(names).toContain(`F.${name}`);
    for (const name of Object.getOwnPropertyNames(Tensor.prototype))
      if (!['constructor', 'node', 'cast', 'mark', 'recordedWrites'].includes(name))
        expect(names).toContain(`castorTensor.${name}`);
  });
  test.each(['5.9', 'the newest'])('a signature for each, by TypeScript %s', version => {
    expect(wrong(version, ({ signature }) => signature === '')).toEqual([]);
  });
  test('documentation for each, by TypeScript 5.9', () => {
    expect(wrong('5.9', ({ documentation }) => documentation === '')).toEqual([]);
  });
  test('documentation for each that is no module, by the newest TypeScript', () => {
    expect(wrong('the newest', ({ documentation }) => documentation === '').toSorted()).toEqual(modules.toSorted());
  });
  test.each(['5.9', 'the newest'])('no conditional types, by TypeScript %s', version => {
    expect(wrong(version, ({ signature }, { kind }) => kind !== 'type' && conditional.test(signature))).toEqual([]);
  });
  test('one signature for each that has one kind of result', () => {
    expect(wrong('5.9', ({ signature }) => overloads.test(signature)).toSorted()).toEqual(twoForms.toSorted());
    expect(
      wrong('the newest', ({ signature }) => overloads.test(signature)).filter(name => !twoForms.includes(name)),
    ).toEqual([]);
  });
  test("PyTorch's name where it differs", () => {
    const documentationOf = (name: string): string =>
      shown.get('5.9')![found.findIndex(use => use.name === name)]!.documentation;
    expect(documentationOf('F.binaryCrossEntropyWithLogits')).toContain('`binary_cross_entropy_with_logits`');
    expect(documentationOf('castorTensor.logicalNot_')).toContain('`logical_not_`');
    expect(documentationOf('castorTensor.at')).toContain('`x[index]`');
    expect(documentationOf('F.relu')).not.toContain('PyTorch');
  });
});
