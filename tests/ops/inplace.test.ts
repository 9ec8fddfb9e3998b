import { describe, expect, test } from 'bun:test';
import { autograd, F, tidy, type DType, type Tensor } from 'castor';
import { table, type MethodName } from '../../runtime/ops/table.ts';
import { devices } from '../setup.ts';
import { unary } from './cases/unary.ts';
import { binary } from './cases/binary.ts';
import type { Case } from './case.ts';
import { tensorsOf, valuesOf, type Trial } from './run.ts';

type Name = MethodName<'unary'> | MethodName<'binary'>;
const names = Object.keys({ ...unary, ...binary }).filter(
  name => table[name as Name].kind !== ('compare' as string),
) as Name[];
const row = (name: Name): Case => ({ ...unary, ...binary })[name];
const call = (name: Name, [x, ...rest]: Tensor[]): Tensor =>
  (F[name] as (...operands: Tensor[]) => Tensor)(x!, ...rest);
const inPlace = (name: Name, [x, ...rest]: Tensor[]): Tensor =>
  (x![`${name}_`] as (...operands: Tensor[]) => Tensor)(...rest);

/** The operands of the first variant whose operands have equal shapes. */
function operands(name: Name, dtype: DType, device: Trial['device'], layout: 'contiguous' | 'sliced'): Tensor[] {
  const variant = row(name).variants[0]!;
  const trial: Trial = { name, dtype, device, layouts: variant.operands.map(() => layout) };
  return tensorsOf(variant, valuesOf(variant, trial)!, trial);
}

describe.each([...devices])('in place, on %s,', device => {
  test.each(names)('%s writes over its operand what it otherwise returns', name => {
    const { dtypes, result } = row(name);
    for (const dtype of dtypes)
      for (const layout of ['contiguous', 'sliced'] as const) {
        if (result === 'float' && !dtype.includes('float')) continue;
        tidy(() => {
          const [x, ...rest] = operands(name, dtype, device, layout);
          const expected = call(name, [x!, ...rest]).to(dtype);
          const { version } = x!;
          expect(inPlace(name, [x!, ...rest])).toBe(x!);
          expect(x!.dataSync()).toEqual(expected.dataSync());
          expect(x!.version).toBeGreaterThan(version);
        });
      }
  });

  const smooth = names.filter(name => row(name).smooth > 0);
  test.each(smooth)('%s passes the same gradients on', name => {
    tidy(() => {
      const inputs = operands(name, 'float64', device, 'contiguous').map(t => t.requiresGrad_());
      const gradients = (run: (name: Name, inputs: Tensor[]) => Tensor): Tensor[] => {
        const [x, ...rest] = inputs;
        return autograd.grad(
          run(name, [x!.mul(1), ...rest])
            .square()
            .sum(),
          inputs,
        );
      };
      const expected = gradients(call);
      gradients(inPlace).forEach((grad, i) => expect(grad).toBeAllclose(expected[i]!, { rtol: 1e-12, atol: 1e-12 }));
    });
  });
});
