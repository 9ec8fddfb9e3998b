/**
 * Gradient scaling: the loss is multiplied so that small float16 gradients do not vanish, and steps whose gradients overflow are
 * skipped. Run it with: bun examples/gradScaler.ts
 */
import { autocast, GradScaler, manualSeed, nn, optim, randn } from 'castor';

manualSeed(0);
const model = new nn.Linear(10, 1);
const optimizer = new optim.Adam(model.parameters());
const criterion = new nn.MSELoss();
const scaler = new GradScaler();
const inputs = randn([32, 10]);
const targets = randn([32, 1]);

for (let epoch = 0; epoch < 10; epoch++) {
  optimizer.zeroGrad();
  const loss = autocast({ dtype: 'float16' }, () => {
    const predictions = model.forward(inputs);
    const loss = criterion.forward(predictions, targets);
    if (epoch === 0) console.log(`prediction ${predictions.dtype}, loss ${loss.dtype}`);
    return loss;
  });
  scaler.scale(loss).backward();
  scaler.step(optimizer);
  scaler.update();
  console.log(`epoch ${epoch}: loss ${(await loss.item()).toFixed(4)}, scale ${await scaler.getScale()}`);
}

// Expected: "prediction float16, loss float32", then a loss that falls a little each epoch at a scale of 65536.
