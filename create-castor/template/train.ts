/** Trains the classifier and writes its weights: bun train.ts */
import { autocast, F, io, manualSeed, noGrad, optim, tidy, type Tensor } from 'castor';
import { Classifier, spirals, WEIGHTS } from './model.ts';

/** Trains a model for some steps, and returns the share of new points that it gets right. */
export async function train(model: Classifier, steps: number, log: (text: string) => void = () => {}): Promise<number> {
  const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
  for (let step = 1; step <= steps; step++) {
    // tidy frees the intermediate results. Parameters, their gradients and the returned loss are kept.
    using loss = tidy(() => {
      const [points, arms] = spirals(256);
      const loss: Tensor = autocast({ dtype: 'bfloat16' }, () => F.crossEntropy(model.forward(points), arms));
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      return loss;
    });
    if (step % 100 === 0) log(`step ${step}: loss ${(await loss.item()).toFixed(4)}`);
  }
  const [points, arms] = spirals(2000);
  return noGrad(() => model.forward(points).argmax(1).eq(arms).float().mean()).item();
}

if (import.meta.main) {
  manualSeed(0);
  const model = new Classifier();
  const right = await train(model, 500, console.log);
  await io.saveTensors(WEIGHTS, model.stateDict());
  console.log(`${(100 * right).toFixed(1)} % of new points are right; wrote ${WEIGHTS}`);
}
