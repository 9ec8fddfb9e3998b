import { noGrad } from '../autograd/autograd.ts';
import { currentCapture } from '../tensor/graphCapture.ts';
import { currentNumbers } from '../tensor/graphNumbers.ts';
import type { Tensor } from '../tensor/tensor.ts';

/**
 * While a graph is captured, returns the float64 that its steps read the learning rate from. Each replay first writes what `current`
 * returns then, so that a schedule works in a graph as it does outside. Outside of a capture returns null: the number itself is used.
 */
export function capturedRate(op: string, current: () => number): Tensor | null {
  const capture = currentCapture();
  if (capture === null) return null;
  const rate = currentNumbers()!.take(capture, op);
  let written: number | null = null;
  capture.before.push(() => {
    const lr = current();
    if (lr === written) return;
    noGrad(() => rate.fill_(lr));
    written = lr;
  });
  return rate;
}
