/**
 * One training step of a small model with autocast on the default device, which is the start of every training:
 * `bun benchmarks/firstStep.ts WIDTH`.
 */
import { autocast, F, optim, randint, tidy } from '../runtime/index.ts';
import { Gpt } from './model.ts';

const width = Number(process.argv[2]);
const config = { layers: 2, width, heads: 4, context: width / 2, vocabulary: 2 * width, tied: true };
const model = new Gpt(config);
const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 });
const ids = randint(0, config.vocabulary, [4, config.context]);
const targets = randint(0, config.vocabulary, [4 * config.context]);
tidy(() => {
  const forward = () => F.crossEntropy(model.forward(ids).reshape([-1, config.vocabulary]), targets);
  const loss = autocast({ dtype: 'bfloat16' }, forward);
  loss.backward();
  optimizer.step();
  if (!Number.isFinite(loss.itemSync())) throw new Error('the loss is not finite');
});
