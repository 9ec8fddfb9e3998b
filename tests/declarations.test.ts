/** Tests that runtime/ops/declarations.ts is what the script makes, and that it describes the ops correctly. */
import { describe, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { arange, F, ones, Tensor, tensor, tidy, zeros } from 'castor';
import { root } from './process.ts';

/** Machines that only run Castor have no TypeScript. */
const parser = existsSync(join(root, 'node_modules/typescript-5.9'));
/** The names that the file declares. */
function declared(): { methods: string[]; functions: string[] } {
  const [, methods, functions] = readFileSync(join(root, 'runtime/ops/declarations.ts'), 'utf8').split(
    /^export interface /m,
  );
  const names = (text: string): string[] => [...new Set([...text.matchAll(/^  (\w+)[<(]/gm)].map(([, name]) => name!))];
  return { methods: names(methods!), functions: names(functions!) };
}

describe.skipIf(!parser)('the declarations of ops', () => {
  test('are those that the script makes of the table and the functions', async () => {
    const { COMMAND, declarations, FILE } = await import('../scripts/declareOps.ts');
    const state = readFileSync(FILE, 'utf8') === declarations() ? 'as made' : `out of date: run ${COMMAND}`;
    expect(`runtime/ops/declarations.ts is ${state}`).toBe('runtime/ops/declarations.ts is as made');
  });
  test('are of all functions of F, and of nothing else', () => {
    const { functions } = declared();
    expect(functions.toSorted()).toEqual(Object.keys(F).toSorted());
  });
  test('are of methods that Tensor has', () => {
    const { methods } = declared();
    expect(methods.length).toBeGreaterThan(180);
    for (const name of methods) expect(Object.hasOwn(Tensor.prototype, name)).toBe(true);
    for (const name of Object.getOwnPropertyNames(Tensor.prototype))
      if (Object.hasOwn(F, name) || Object.hasOwn(F, name.slice(0, -1))) expect(methods).toContain(name);
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
