/** What an editor shows of every public name, by the language services of TypeScript 5.9 and of the newest one. */
import { beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { arange, F, ones, Tensor, tensor, tidy, zeros } from 'castor';
import type { Shown, Use } from './hovers.ts';
import { root } from './process.ts';

/** Machines that only run Castor have no TypeScript. */
const editors = existsSync(join(root, 'node_modules/typescript-5.9'));
const nameOf = ({ owner, name }: Use): string => `${owner}.${name}`;

/** Names that are called in two ways with two kinds of results: a tensor or a pair, gradients that may be null, with or without options. */
const twoForms = ['F.max', 'F.min', 'castorTensor.max', 'castorTensor.min', 'autograd.grad', 'castor.autocast'];
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
  const wrong = (version: string, isWrong: (shown: Shown) => boolean): string[] =>
    found.filter((_, i) => isWrong(shown.get(version)![i]!)).map(nameOf);

  test('every public name', () => {
    expect(found.length).toBeGreaterThan(650);
    const names = found.map(nameOf);
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
    expect(wrong(version, ({ signature }) => conditional.test(signature))).toEqual([]);
  });
  test('one signature for each that has one kind of result', () => {
    expect(wrong('5.9', ({ signature }) => overloads.test(signature)).toSorted()).toEqual(twoForms.toSorted());
    expect(
      wrong('the newest', ({ signature }) => overloads.test(signature)).filter(name => !twoForms.includes(name)),
    ).toEqual([]);
  });
  test("PyTorch's name where it differs", () => {
    const documentationOf = (name: string): string =>
      shown.get('5.9')![found.findIndex(use => nameOf(use) === name)]!.documentation;
    expect(documentationOf('F.binaryCrossEntropyWithLogits')).toContain('`binary_cross_entropy_with_logits`');
    expect(documentationOf('castorTensor.logicalNot_')).toContain('`logical_not_`');
    expect(documentationOf('castorTensor.at')).toContain('`x[index]`');
    expect(documentationOf('F.relu')).not.toContain('PyTorch');
  });
});

describe.skipIf(!editors)('the declarations of ops', () => {
  test('are those that the script makes of the table and the functions', async () => {
    const { COMMAND, declarations, FILE } = await import('../scripts/declareOps.ts');
    const current = readFileSync(FILE, 'utf8') === declarations() ? 'as made' : 'out of date';
    expect(`${FILE} is ${current}: run ${COMMAND}`).toBe(`${FILE} is as made: run ${COMMAND}`);
  });
});

describe('the dtype that a declaration tells', () => {
  const x = (): Tensor<'float32'> => ones([2, 3]);
  test('is that of the result, for truth values and positions', () =>
    tidy(() => {
      const truths: Tensor<'bool'>[] = [
        ...[x().isNaN(), x().logicalNot(), x().lt(1), x().logicalAnd(0), F.eq(1, x()), F.isFinite(x())],
        ...[x().any(), x().all(0), F.all(x(), 0, { keepdim: true })],
      ];
      expect(new Set(truths.map(({ dtype }) => dtype))).toEqual(new Set(['bool'] as const));
      const positions: Tensor<'int64'>[] = [
        ...[x().argmax(), x().argmin(0), x().argsort(), x().countNonzero(), x().multinomial(1)],
        ...[F.oneHot(arange(2), 2), x().topk(1).indices, x().sort().indices, x().max(0).indices, x().long()],
      ];
      expect(new Set(positions.map(({ dtype }) => dtype))).toEqual(new Set(['int64'] as const));
    }));
  test('is that of the tensor, for what moves elements', () =>
    tidy(() => {
      const half = x().to('float16');
      const moved: Tensor<'float16'>[] = [
        ...[half, half.T, half.detach(), half.clone(), half.contiguous(), half.flip(0), half.add_(1), half.zero_()],
        ...[half.reshape(3, 2), half.view(6), half.expand(1, 2, 3), half.permute(1, 0), half.transpose(0, 1)],
        ...[half.flatten(), half.unflatten(1, [3, 1]), half.squeeze(), half.unsqueeze(0), half.broadcastTo([2, 3])],
        ...[half.slice(0), half.narrow(0, 0, 1), half.select(0, 1), half.at(0, '1:'), half.at([0, 1]), F.at(half, 0)],
        ...[
          ...half.split(1),
          ...half.chunk(2),
          ...half.unbind(),
          ...half,
          F.reshape(half, [6]),
          half.to({ device: half.device }),
        ],
        ...[half.onesLike(), half.zerosLike(), half.emptyLike(), half.fullLike(2), half.randLike(), half.randnLike()],
        ...[
          x().to(half),
          x().to({ dtype: 'float16' }),
          F.to(x(), 'float16'),
          x().half(),
          x().onesLike({ dtype: 'float16' }),
        ],
      ];
      expect(new Set(moved.map(({ dtype }) => dtype))).toEqual(new Set(['float16'] as const));
    }));
  test('is the default, or what is asked for, where a tensor is made', () =>
    tidy(() => {
      const made: readonly [Tensor<'float32'>, Tensor<'bool'>, Tensor<'int64'>] = [
        zeros([2]),
        tensor([true], { dtype: 'bool' }),
        ones([1], { dtype: 'int64' }),
      ];
      expect(made.map(({ dtype }) => dtype)).toEqual(['float32', 'bool', 'int64']);
    }));
  test('is not told where autocast or the other operand decides', () => {
    // @ts-expect-error: it is any dtype.
    const product = (): Tensor<'float32'> => x().matmul(x());
    // @ts-expect-error: it is any dtype.
    const sum = (): Tensor<'float32'> => x().add(1);
    expect([product.length, sum.length]).toEqual([0, 0]);
  });
});

test('two numbers are told to belong to JavaScript', () => {
  expect(() => F.add(1, 2)).toThrow('neither 1 nor 2 is a tensor');
  expect(() => F.div(1, 2)).toThrow('neither 1 nor 2 is a tensor');
});
