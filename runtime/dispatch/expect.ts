import { native, opNumber } from '../ffi/library.ts';
import { writeView, type Tensor } from '../tensor/tensor.ts';
import { check } from './op.ts';

const codes = { weights: opNumber('expect', 'weights'), enoughWeights: opNumber('expect', 'enoughWeights') };

/**
 * Fails unless every element of a bool tensor, one for each row of weights, is true. It fails at once on the CPU, and on a GPU in the
 * next call that waits for the device. The error says what the rows should have been.
 */
export function expect(what: keyof typeof codes, holds: Tensor, op: { name: string }): void {
  check(native.castor_expect(codes[what], writeView(0, holds, op.name)), op, [holds]);
}
