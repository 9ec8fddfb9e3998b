/** Models that tests serve. */
import { nn } from 'castor';

const models: nn.Module[] = [];
/** Returns a model in evaluation mode, whose first weight is large enough to be packed on the CPU, for rows of row(). */
export function mlp(): nn.Sequential {
  const model = new nn.Sequential(new nn.Linear(80, 64), new nn.GELU(), new nn.Linear(64, 3)).eval();
  models.push(model);
  return model;
}
export const row = (i: number): Float32Array => Float32Array.from({ length: 80 }, (_, j) => Math.sin(i + 0.7 * j));

/** Frees a model. A conversion frees the packed and cast copies of weights at once. */
export function free(model: nn.Module): void {
  const left = [...model.namedTensors()].map(([, t]) => t);
  if (left.every(t => !t.disposed)) model.to('float64');
  for (const t of left) t.dispose();
}
/** Frees the models that were made since the last call. */
export const freeModels = (): void => models.splice(0).forEach(free);
