/**
 * Automatic mixed precision: inside autocast the linear layer computes in 16 bits, the loss in float32. Of the two 16-bit types
 * bfloat16 has the range of float32 and needs no scaler; gradScaler.ts shows float16.
 * Run it with: bun examples/autocast.ts
 */
import { autocast, manualSeed, nn, optim, randn } from 'castor';

manualSeed(0);
const model = new nn.Linear(10, 1);
const optimizer = new optim.Adam(model.parameters());
const criterion = new nn.MSELoss();
const inputs = randn([32, 10]);
const targets = randn([32, 1]);

for (let epoch = 0; epoch < 10; epoch++) {
  optimizer.zeroGrad();
  const loss = autocast({ dtype: 'bfloat16' }, () => {
    const predictions = model.forward(inputs);
    const loss = criterion.forward(predictions, targets);
    if (epoch === 0) console.log(`prediction ${predictions.dtype}, loss ${loss.dtype}`);
    return loss;
  });
  loss.backward();
  optimizer.step();
  console.log(`epoch ${epoch}: loss ${(await loss.item()).toFixed(4)}`);
}

// Expected: "prediction bfloat16, loss float32", then a loss that falls a little each epoch.
