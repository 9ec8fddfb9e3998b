import { noGrad } from '../autograd/autograd.ts';
import { zeros } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { currentCapture, refuseInGraph } from '../tensor/graphCapture.ts';
import { keep } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** A learning rate on a device, and the number that was last written to it. */
interface Rate {
  readonly tensor: Tensor;
  written: number;
}

/**
 * The learning rates that captured steps of an optimizer read: one float64 for each group of parameters and device. Each replay first
 * writes the rate that the group has then, so that a schedule works in a graph as it does outside.
 */
export class CapturedRates {
  readonly #rates = new WeakMap<object, Map<Device, Rate>>();

  /**
   * Returns the tensor that a captured step reads its learning rate from. Outside of a capture it makes the tensor, which a graph must
   * not own, and returns null: the number in the group is used. `current` returns the learning rate of the group.
   */
  of(group: object, device: Device, current: () => number): Tensor | null {
    const rate = this.#rateOf(group, device);
    const capture = currentCapture();
    if (capture === null) return null;
    capture.before.push(() => write(rate, current()));
    return rate.tensor;
  }

  #rateOf(group: object, device: Device): Rate {
    let rates = this.#rates.get(group);
    if (rates === undefined) this.#rates.set(group, (rates = new Map()));
    let rate = rates.get(device);
    if (rate === undefined) {
      refuseInGraph(
        'Optimizer.step',
        'the optimizer has no state yet: a graph would create it again in each replay',
        'Pass a warmup of at least 1, in which every parameter gets a gradient',
      );
      rates.set(device, (rate = { tensor: keep(zeros([], { dtype: 'float64', device })), written: 0 }));
    }
    return rate;
  }
}

function write(rate: Rate, lr: number): void {
  if (lr === rate.written) return;
  noGrad(() => rate.tensor.fill_(lr));
  rate.written = lr;
}
