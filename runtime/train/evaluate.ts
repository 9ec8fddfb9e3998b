import { callable, checked, iterable } from '../arguments.ts';
import { noGrad } from '../autograd/autograd.ts';
import { zeros } from '../tensor/create.ts';
import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';
import { tidy } from '../tensor/scope.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';

/** The mean of a loss over batches, computed without gradients. It is summed on the device and read once. */
export const meanLoss = checked('meanLoss', { batches: iterable, loss: callable }, doMeanLoss);
async function doMeanLoss<B>(batches: Iterable<B>, loss: (batch: B) => Tensor): Promise<number> {
  let sum: Tensor | null = null;
  let count = 0;
  noGrad(() => {
    for (const batch of batches) {
      sum = tidy(() => added(sum, loss(batch)));
      count++;
    }
  });
  const total = sum as Tensor | null;
  return total === null ? NaN : (await readOnce(total)) / count;
}

async function readOnce(t: Tensor): Promise<number> {
  try {
    return await t.item();
  } finally {
    t.dispose();
  }
}

/**
 * Adds a loss to the sum, on the device of the loss. The sum is float64, so that no precision is lost over many losses.
 */
function added(sum: Tensor | null, loss: Tensor): Tensor {
  if (!isTensor(loss))
    throw new ArgumentError(`the loss function gave ${shown(loss)}, which is not a tensor`, {
      op: 'meanLoss',
      advice: 'Return the loss of the batch, a tensor of one element, from a function that is not async',
    });
  return sum === null ? zeros([], { dtype: 'float64', device: loss.device }).add_(loss) : sum.add_(loss);
}
