import { callable, checked, iterable } from '../arguments.ts';
import { noGrad } from '../autograd/autograd.ts';
import { zeros } from '../tensor/create.ts';
import { tidy } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** The mean of a loss over batches, without gradients. Summed on the device and read once. */
export const meanLoss = checked('meanLoss', { batches: iterable, loss: callable }, doMeanLoss);
async function doMeanLoss<B>(batches: Iterable<B>, loss: (batch: B) => Tensor): Promise<number> {
  using sum = zeros([], { dtype: 'float64' });
  let count = 0;
  noGrad(() => {
    for (const batch of batches) {
      tidy(() => void sum.add_(loss(batch)));
      count++;
    }
  });
  return (await sum.item()) / count;
}
