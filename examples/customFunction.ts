/**
 * An op with its own backward function, checked against finite differences. Run it with: bun examples/customFunction.ts
 */
import { autograd, randn, tensor, type Tensor } from 'castor';

/** log(1 + e^x), without overflow for large x, and with a derivative that needs no logarithm. */
const log1pExp = autograd.customFunction({
  name: 'Log1pExp',
  forward(ctx, x: Tensor): Tensor {
    ctx.saveForBackward(x);
    return x.relu().add(x.abs().neg().exp().log1p());
  },
  backward(ctx, grad) {
    const [x] = ctx.savedTensors as [Tensor];
    return grad.mul(x.sigmoid());
  },
});

const x = tensor([-3, 0, 100], { requiresGrad: true });
const y = log1pExp(x);
y.sum().backward();
console.log(y);
console.log(x.grad);

const point = randn([4], { dtype: 'float64', requiresGrad: true });
console.log('gradcheck:', autograd.gradcheck(log1pExp, [point], { second: true }));

// Expected: values 0.0486, 0.6931, 100 with gradFn Log1pExpBackward; gradients 0.0474, 0.5, 1; gradcheck: true.
