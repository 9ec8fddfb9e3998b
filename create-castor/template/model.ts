/** The model, and the data that it learns from. */
import { nn, rand, stack, type Tensor } from 'castor';

/** Tells two arms apart: points (n, 2) to logits (n, 2). */
export class Classifier extends nn.Module {
  readonly layers = new nn.Sequential(
    new nn.Linear(2, 64),
    new nn.ReLU(),
    new nn.Linear(64, 64),
    new nn.ReLU(),
    new nn.Linear(64, 2),
  );

  forward(points: Tensor): Tensor {
    return this.layers.forward(points);
  }
}

/** Random points (n, 2) on the arms of a spiral, and the arm (n) of each: 0 or 1. */
export function spirals(n: number): [points: Tensor, arms: Tensor] {
  const arms = rand([n]).gt(0.5).to('int64');
  const turn = rand([n])
    .sqrt()
    .mul(3 * Math.PI);
  const angle = turn.add(arms.mul(Math.PI));
  return [stack([turn.mul(angle.cos()), turn.mul(angle.sin())], 1).div(10), arms];
}

/** The file that train.ts writes and server.ts reads. */
export const WEIGHTS = 'weights.safetensors';
