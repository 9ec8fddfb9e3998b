import { describe, expect, test } from 'bun:test';
import {
  autograd,
  AutogradError,
  cat,
  enableGrad,
  F,
  full,
  isGradEnabled,
  keep,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  OutOfMemoryError,
  rand,
  randn,
  stack,
  tensor,
  Tensor,
  tidy,
  zeros,
} from 'castor';
import { tidyTest as it, liveStorages as live } from './setup.ts';

const { customFunction, grad, gradcheck } = autograd;

const leaf = (data: number[] | number[][], dtype: 'float32' | 'float64' = 'float32'): Tensor =>
  tensor(data, { dtype, requiresGrad: true });

describe('backward', () => {
  it('adds to .grad of every leaf', () => {
    const [x, w] = [leaf([1, 2, 3]), leaf([4, 5, 6])];
    x.mul(w).sum().backward();
    expect(x.grad!.toArraySync()).toEqual([4, 5, 6]);
    expect(w.grad!.toArraySync()).toEqual([1, 2, 3]);
    x.mul(w).sum().backward();
    expect(x.grad!.toArraySync()).toEqual([8, 10, 12]);
    expect([x.grad!.requiresGrad, x.grad!.dtype, x.gradFn, x.isLeaf] as unknown[]).toEqual([
      false,
      'float32',
      null,
      true,
    ]);
  });
  it('takes the gradient at a tensor of any shape', () => {
    const x = leaf([1, 2]);
    x.mul(3).backward(tensor([10, 100]));
    expect(x.grad!.toArraySync()).toEqual([30, 300]);
  });
  it('does not change or take over the gradient it is given', () => {
    const [x, g] = [leaf([1, 2]), tensor([1, 1])];
    x.reshape(2).backward(g);
    x.reshape(2).backward(g);
    expect(g.toArraySync()).toEqual([1, 1]);
    expect(x.grad!.toArraySync()).toEqual([2, 2]);
    expect(x.grad!.storage).not.toBe(g.storage);
  });
  it('gives two leaves that share a gradient memory of their own', () => {
    const [x, y] = [leaf([1, 2]), leaf([3, 4])];
    x.add(y).sum().backward();
    x.grad!.mul_(5);
    expect(y.grad!.toArraySync()).toEqual([1, 1]);
  });
  it('sums to the shape and dtype of a broadcast operand', () => {
    const [x, row, one] = [
      leaf([
        [1, 2, 3],
        [4, 5, 6],
      ]),
      leaf([1, 1, 1]),
      tensor(2, { requiresGrad: true, dtype: 'float16' }),
    ];
    x.mul(row).mul(one).sum().backward();
    expect(row.grad!.toArraySync()).toEqual([10, 14, 18]);
    expect(one.grad!.shape).toEqual([]);
    expect(one.grad!.dtype).toBe('float16');
    expect(one.grad!.itemSync()).toBe(21);
  });
  it('follows shared subgraphs once', () => {
    let visits = 0;
    const x = leaf([2]);
    const shared = x.square();
    shared.registerHook(() => void visits++);
    const y = shared.add(shared.mul(shared)).add(shared.mul(3));
    y.backward();
    expect(visits).toBe(1);
    // d/dx (x^2 + x^4 + 3 x^2) = 8 x + 4 x^3.
    expect(x.grad!.toArraySync()).toEqual([48]);
  });
  it('of a leaf itself', () => {
    const x = leaf([3]);
    x.backward();
    expect(x.grad!.toArraySync()).toEqual([1]);
    x.backward(tensor([5]));
    expect(x.grad!.toArraySync()).toEqual([6]);
  });
  it('sums over a diamond of unequal arms', () => {
    const x = leaf([1.5]);
    let y = x.mul(1);
    for (let i = 0; i < 10; i++) y = y.add(x);
    y.mul(x).backward();
    expect(x.grad!.toArraySync()).toEqual([33]);
  });
  it('of a chain of 20000 ops does not overflow the stack', () => {
    const x = leaf([1]);
    let y: Tensor = x;
    for (let i = 0; i < 20_000; i++) y = y.add(1);
    y.backward();
    expect(x.grad!.toArraySync()).toEqual([1]);
  });
  it('leaves integers, comparisons and detached values out', () => {
    const x = leaf([1, -2, 3]);
    expect(x.gt(0).requiresGrad).toBe(false);
    expect(x.argmax().requiresGrad).toBe(false);
    expect(x.to('int32').requiresGrad).toBe(false);
    expect(x.detach().requiresGrad).toBe(false);
    x.mul(x.detach()).sum().backward();
    expect(x.grad!.toArraySync()).toEqual([1, -2, 3]);
  });
  it('through detach shares memory and stops', () => {
    const x = leaf([1, 2]);
    const y = x.mul(2);
    const d = y.detach();
    expect([d.storage === y.storage, d.gradFn, d.isLeaf]).toEqual([true, null, true]);
    expect(() => d.sum().backward()).toThrow(AutogradError);
  });
  it('through every view reaches the right elements', () => {
    const x = leaf([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    x.T.reshape(6).narrow(0, 1, 3).unsqueeze(0).expand(2, 3).sum().backward();
    expect(x.grad!.toArraySync()).toEqual([
      [0, 2, 0],
      [2, 2, 0],
    ]);
  });
  it('through cat, stack and indexing', () => {
    const [a, b] = [leaf([1, 2]), leaf([3, 4])];
    const weights = tensor([1, 2, 3, 4]);
    cat([a, b])
      .mul(weights)
      .sum()
      .add(stack([a, b], 1).at(':', 0).sum())
      .backward();
    expect(a.grad!.toArraySync()).toEqual([2, 3]);
    expect(b.grad!.toArraySync()).toEqual([3, 4]);
  });
});

describe('the graph', () => {
  it('is gone after backward: a second time is an error', () => {
    const x = leaf([1, 2]);
    const y = x.square();
    y.sum().backward();
    expect(() => y.sum().backward()).toThrow(/second time.*retainGraph: true/);
    expect(x.grad!.toArraySync()).toEqual([2, 4]);
  });
  it('stays with retainGraph', () => {
    const x = leaf([1, 2]);
    const y = x.square().sum();
    y.backward(undefined, { retainGraph: true });
    y.backward();
    expect(x.grad!.toArraySync()).toEqual([4, 8]);
    expect(() => y.backward()).toThrow(AutogradError);
  });
  test('gives its memory back when backward ends', () => {
    const x = rand([1000], { requiresGrad: true });
    const before = live();
    const loss = tidy(() => x.sin().exp().mul(x.square()).sigmoid().sum());
    expect(live()).toBeGreaterThan(before + 3);
    loss.backward();
    // Only the loss and the gradient are left.
    expect(live()).toBe(before + 2);
    loss.dispose();
    x.grad!.dispose();
    expect(live()).toBe(before);
    x.dispose();
  });
  test('keeps what it needs of disposed tensors', () => {
    const before = live();
    const x = leaf([1, 2, 3]);
    const y = x.mul(2);
    const z = y.square();
    y.dispose();
    expect(y.disposed).toBe(true);
    const loss = z.sum();
    z.dispose();
    loss.backward();
    expect(x.grad!.toArraySync()).toEqual([8, 16, 24]);
    for (const t of [loss, x.grad!, x]) t.dispose();
    expect(live()).toBe(before);
  });
  test('gives its memory back when backward fails half way', () => {
    const before = live();
    tidy(() => {
      const x = leaf([1, 2, 3]);
      const y = x.mul(2);
      y.registerHook(() => {
        throw new Error('stop');
      });
      expect(() => y.exp().sin().sum().backward()).toThrow('stop');
      expect(x.grad).toBeNull();
    });
    expect(live()).toBe(before);
  });
  test('that nobody runs goes with the tensors', () => {
    memory.collect();
    const before = live();
    (() => {
      const x = leaf([1, 2, 3]);
      for (let i = 0; i < 100; i++) x.exp().sin();
    })();
    memory.collect();
    expect(live()).toBeLessThan(before + 20);
  });
});

describe('saved tensors', () => {
  it('that were changed in place are noticed', () => {
    const x = leaf([1, 2]);
    const y = x.mul(2);
    const z = y.square();
    y.add_(1);
    expect(() => z.sum().backward()).toThrow(/changed in place.*shape \[2\]/);
  });
  it('that were changed through a view are noticed', () => {
    const x = leaf([1, 2]);
    const data = tensor([3, 4]);
    const y = x.mul(data);
    data.select(0, 0).fill_(9);
    expect(() => y.sum().backward()).toThrow(/changed in place/);
  });
  it('that backward does not read may change', () => {
    const x = leaf([1, 2]);
    const y = x.mul(2);
    const z = y.add(1);
    y.mul_(10);
    z.sum().backward();
    expect(x.grad!.toArraySync()).toEqual([2, 2]);
  });
  it('a parameter that an optimizer stepped on is noticed', () => {
    const w = leaf([2]);
    const y = w.square().sum();
    w.square().sum().backward();
    new optim.SGD([w], { lr: 0.1 }).step();
    expect(() => y.backward()).toThrow(/changed in place/);
  });
});

describe('in place on a result', () => {
  const x = (): Tensor => leaf([0.5, -1.5, 2], 'float64');
  const cases: [string, (y: Tensor, x: Tensor) => Tensor][] = [
    ['add_', y => y.add_(3)],
    ['mul_ by a number', y => y.mul_(3)],
    ['mul_ by a tensor that requires a gradient', (y, t) => y.mul_(t)],
    ['div_ by a tensor that requires a gradient', (y, t) => y.div_(t)],
    ['mul_ by itself', y => y.mul_(y)],
    ['exp_', y => y.exp_()],
    ['sin_', y => y.sin_()],
    ['tanh_', y => y.tanh_()],
    ['relu_', y => y.relu_()],
    ['square_', y => y.square_()],
    ['pow_', y => y.pow_(3)],
    ['a chain of them', (y, t) => y.mul_(t).sin_().add_(t).square_()],
  ];
  test.each(cases)('%s gives the right gradients', (_, op) => {
    tidy(() => {
      gradcheck(t => op(t.mul(1.5), t), [x()]);
    });
  });
  it('fill_ and zero_ stop the gradient', () => {
    const t = x();
    const y = t.mul(2);
    y.zero_();
    y.add(t).sum().backward();
    expect(t.grad!.toArraySync()).toEqual([1, 1, 1]);
  });
  it('copy_ hands the gradient to the source', () => {
    const [t, source] = [x(), x()];
    const y = t.mul(2);
    y.copy_(source);
    y.mul(3).sum().backward();
    expect(source.grad!.toArraySync()).toEqual([3, 3, 3]);
    expect(t.grad!.toArraySync()).toEqual([0, 0, 0]);
  });
  it('adding a tensor with gradient to one without makes it a result', () => {
    const [sum, t] = [zeros([3], { dtype: 'float64' }), x()];
    sum.add_(t).add_(t);
    expect(sum.gradFn).toBe('AddBackward');
    sum.sum().backward();
    expect(t.grad!.toArraySync()).toEqual([2, 2, 2]);
  });
  it('gradients of what was computed before stay right', () => {
    const t = leaf([1, 2]);
    const y = t.mul(2);
    const before = y.add(1);
    y.exp_();
    before.sum().backward();
    expect(t.grad!.toArraySync()).toEqual([2, 2]);
  });
  it('inside noGrad changes leaves', () => {
    const t = leaf([1, 2]);
    noGrad(() => t.sub_(1));
    expect(t.toArraySync()).toEqual([0, 1]);
    expect([t.requiresGrad, t.isLeaf]).toEqual([true, true]);
  });
});

describe('grad', () => {
  it('returns gradients and leaves .grad alone', () => {
    const [x, y] = [leaf([1, 2]), leaf([3, 4])];
    const z = x.mul(y).sum();
    const [gx, gy] = grad(z, [x, y]);
    expect(gx!.toArraySync()).toEqual([3, 4]);
    expect(gy!.toArraySync()).toEqual([1, 2]);
    expect([x.grad, y.grad]).toEqual([null, null]);
  });
  it('of a tensor in the middle', () => {
    const x = leaf([2]);
    const y = x.square();
    expect(grad(y.mul(3), y)[0]!.toArraySync()).toEqual([3]);
  });
  it('of several outputs, with gradients of their own', () => {
    const x = leaf([1, 2]);
    const [a, b] = [x.mul(2), x.square().sum()];
    const [g] = grad([a, b], x, { gradOutputs: [tensor([10, 1]), undefined] });
    expect(g!.toArraySync()).toEqual([22, 6]);
  });
  it('of one input asked for twice', () => {
    const x = leaf([2]);
    const [a, b] = grad(x.square(), [x, x]);
    expect([a!.itemSync(), b!.itemSync()]).toEqual([4, 4]);
  });
  it('null for unused inputs only when allowed', () => {
    const [x, unused] = [leaf([1]), leaf([1])];
    expect(() => grad(x.mul(2), [x, unused])).toThrow(/do not depend on input 1/);
    const [gx, none] = grad(x.mul(2), [x, unused], { allowUnused: true });
    expect(gx!.itemSync()).toBe(2);
    expect(none).toBeNull();
  });
  it('with createGraph can be differentiated again, and again', () => {
    const x = leaf([2], 'float64');
    const [first] = grad(x.pow(4), x, { createGraph: true });
    const [second] = grad(first!, x, { createGraph: true });
    const [third] = grad(second!, x);
    expect([first!.itemSync(), second!.itemSync(), third!.itemSync()]).toEqual([32, 48, 48]);
  });
  it('a gradient penalty trains', () => {
    const [x, w] = [leaf([1, 2]), leaf([3, 5])];
    const [g] = grad(x.mul(w).square().sum(), x, { createGraph: true });
    // g = 2 x w^2, so the penalty is sum 4 x^2 w^4 and its gradient at w 16 x^2 w^3.
    g!.square().sum().backward();
    expect(w.grad!.toArraySync()).toEqual([16 * 27, 16 * 4 * 125]);
  });
  it('backward with createGraph leaves gradients with a graph', () => {
    const x = leaf([3]);
    x.pow(3).backward(undefined, { createGraph: true });
    const first = x.grad!;
    expect(first.requiresGrad).toBe(true);
    x.grad = null;
    first.backward();
    expect(x.grad!.toArraySync()).toEqual([18]);
  });
  test('returns memory that the caller can give back', () => {
    const x = leaf([1, 2]);
    const before = live();
    const loss = tidy(() => x.square().sum());
    const [g] = grad(loss, x);
    loss.dispose();
    expect(live()).toBe(before + 1);
    g!.dispose();
    expect(live()).toBe(before);
    x.dispose();
  });
});

describe('hooks', () => {
  it('see the gradient and may replace it', () => {
    const x = leaf([1, 2]);
    const y = x.mul(2);
    const seen: unknown[] = [];
    y.registerHook(g => {
      seen.push(g.toArraySync());
      return g.mul(10);
    });
    y.registerHook(g => void seen.push(g.toArraySync()));
    y.square().sum().backward();
    expect(seen).toEqual([
      [4, 8],
      [40, 80],
    ]);
    expect(x.grad!.toArraySync()).toEqual([80, 160]);
  });
  it('of a leaf run before its gradient is added', () => {
    const x = leaf([1, 2]);
    x.registerHook(g => g.neg());
    x.mul(3).sum().backward();
    expect(x.grad!.toArraySync()).toEqual([-3, -3]);
  });
  it('see the sum of all gradients, once', () => {
    const x = leaf([1]);
    const seen: number[] = [];
    x.registerHook(g => void seen.push(g.itemSync()));
    x.add(x).add(x).backward();
    expect(seen).toEqual([3]);
  });
  it('can be removed', () => {
    const x = leaf([1]);
    const remove = x.registerHook(g => g.mul(100));
    remove();
    remove();
    x.mul(2).backward();
    expect(x.grad!.toArraySync()).toEqual([2]);
  });
  it('may keep the gradient', () => {
    const x = leaf([1, 2]);
    const y = x.mul(2);
    let kept!: Tensor;
    y.registerHook(g => void (kept = keep(g)));
    y.square().sum().backward();
    expect(kept.toArraySync()).toEqual([4, 8]);
    kept.dispose();
  });
  it('do not see the ambient gradient mode change', () => {
    const x = leaf([1]);
    let enabled = true;
    x.registerHook(() => void (enabled = isGradEnabled()));
    x.mul(2).backward();
    expect(enabled).toBe(false);
    expect(isGradEnabled()).toBe(true);
  });
  it('retainGrad fills .grad of a result', () => {
    const x = leaf([1, 2]);
    const y = x.mul(2).retainGrad();
    y.square().sum().backward();
    expect(y.grad!.toArraySync()).toEqual([4, 8]);
    expect(x.grad!.toArraySync()).toEqual([8, 16]);
  });
});

describe('noGrad and enableGrad', () => {
  it('switch recording off and on', () => {
    const x = leaf([1]);
    noGrad(() => {
      expect(isGradEnabled()).toBe(false);
      expect(x.mul(2).requiresGrad).toBe(false);
      enableGrad(() => expect(x.mul(2).requiresGrad).toBe(true));
      expect(x.mul(2).requiresGrad).toBe(false);
    });
    expect(x.mul(2).requiresGrad).toBe(true);
  });
  it('return what the function returns, and end when it throws', () => {
    expect(noGrad(() => 5)).toBe(5);
    expect(() =>
      noGrad(() => {
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(isGradEnabled()).toBe(true);
  });
  test('follow async functions, not their neighbours', async () => {
    const inside = noGrad(async () => {
      await Bun.sleep(2);
      const before = isGradEnabled();
      const nested = await enableGrad(async () => {
        await Bun.sleep(1);
        return isGradEnabled();
      });
      return [before, nested, isGradEnabled()];
    });
    const outside = (async () => {
      await Bun.sleep(1);
      return isGradEnabled();
    })();
    expect(isGradEnabled()).toBe(true);
    expect(await Promise.all([inside, outside])).toEqual([[false, true, false], true]);
    await expect(
      noGrad(async () => {
        await Bun.sleep(1);
        throw new Error('stop');
      }),
    ).rejects.toThrow('stop');
    expect(isGradEnabled()).toBe(true);
  });
  it('leaves created inside can require gradients', () => {
    const w = noGrad(() => nn.Parameter(ones([2])));
    w.mul(2).sum().backward();
    expect(w.grad!.toArraySync()).toEqual([2, 2]);
  });
});

describe('customFunction', () => {
  const cube = customFunction({
    name: 'Cube',
    forward(ctx, x: Tensor) {
      ctx.saveForBackward(x);
      return x.mul(x).mul(x);
    },
    backward(ctx, g) {
      const [x] = ctx.savedTensors;
      return g.mul(x!.square()).mul(3);
    },
  });
  it('is differentiated as it says', () => {
    const x = leaf([2, -1]);
    const y = cube(x);
    expect(y.gradFn).toBe('CubeBackward');
    y.sum().backward();
    expect(x.grad!.toArraySync()).toEqual([12, 3]);
    expect(cube(tensor([2])).requiresGrad).toBe(false);
    expect(noGrad(() => cube(x)).requiresGrad).toBe(false);
  });
  it('is asked again when memory was lacking, after what can be freed is', () => {
    let calls = 0;
    const greedy = customFunction({
      forward: (_, x: Tensor) => x.mul(2),
      backward(_, g) {
        if (calls++ === 0) throw new OutOfMemoryError('full');
        return g.mul(2);
      },
    });
    const x = leaf([1]);
    greedy(x).sum().backward();
    expect([calls, x.grad!.itemSync()]).toEqual([2, 2]);
  });
  it('passes gradcheck, also of the second order', () => {
    expect(gradcheck(cube, [leaf([0.5, -1.2, 2], 'float64')], { second: true })).toBe(true);
  });
  it('has several outputs and arguments that are no tensors', () => {
    const sincos = customFunction({
      forward(ctx, x: Tensor, scale: number) {
        const [sin, cos] = [x.sin().mul(scale), x.cos().mul(scale)];
        ctx.saveForBackward(sin, cos);
        ctx.scale = scale;
        return [sin, cos];
      },
      backward(ctx, gs, gc) {
        expect(ctx.scale).toBe(2);
        const [sin, cos] = ctx.savedTensors;
        return [gs!.mul(cos!).sub(gc!.mul(sin!)), null];
      },
    });
    const x = leaf([0.3, 1.1], 'float64');
    gradcheck(
      t => {
        const [s, c] = sincos(t, 2);
        return s!.mul(3).add(c!.square());
      },
      [x],
    );
    // An output without a gradient counts as zeros.
    const [s] = sincos(x, 2);
    s!.sum().backward();
    expect(x.grad!).toBeAllclose(x.detach().cos().mul(2));
  });
  it('with several outputs is differentiated twice', () => {
    const both = customFunction({
      forward(ctx, a: Tensor, b: Tensor) {
        ctx.saveForBackward(a, b);
        return [a.mul(b), a.square()];
      },
      backward(ctx, g0, g1) {
        const [a, b] = ctx.savedTensors;
        return [g0!.mul(b!).add(g1!.mul(a!).mul(2)), g0!.mul(a!)];
      },
    });
    const inputs = [leaf([0.3, 1.1], 'float64'), leaf([-0.7, 0.4], 'float64')];
    gradcheck((a, b) => both(a!, b!).reduce((x, y) => x.mul(y)), inputs, { second: true });
  });
  it('gives no gradient where backward gives null', () => {
    const first = customFunction({
      forward: (_, a: Tensor, b: Tensor) => a.add(b),
      backward: (_, g) => [g, null],
    });
    const [a, b] = [leaf([1]), leaf([1])];
    first(a, b).backward();
    expect(a.grad!.itemSync()).toBe(1);
    expect(b.grad).toBeNull();
  });
  it('keeps the history of an argument it hands through', () => {
    const same = customFunction({ forward: (_, x: Tensor) => x, backward: (_, g) => g.mul(7) });
    const x = leaf([1]);
    const y = x.mul(2);
    same(y).backward();
    expect(x.grad!.itemSync()).toBe(14);
    expect(y.gradFn).toBe('MulBackward');
  });
  it('throws for a wrong number of gradients, and for saved tensors that changed', () => {
    const wrong = customFunction({ forward: (_, a: Tensor, b: Tensor) => a.add(b), backward: (_, g) => [g] });
    expect(() => wrong(leaf([1]), leaf([1])).backward()).toThrow(/backward returned 1 gradients for 2 arguments/);
    const x = leaf([1]);
    const y = x.mul(1);
    const z = cube(y);
    y.add_(1);
    expect(() => z.backward()).toThrow(/changed in place/);
  });
  test('gives back what it saved', () => {
    const before = live();
    const x = leaf([1, 2]);
    const loss = tidy(() => cube(x.mul(2)).sum());
    // Intermediate results in the backward function of the user belong to the user.
    tidy(() => loss.backward());
    for (const t of [loss, x.grad!, x]) t.dispose();
    expect(live()).toBe(before);
    expect(() => loss.backward()).toThrow(/second time/);
  });
  test('gives back what it saved once, however often it is asked to', () => {
    const contexts: { release(): void; savedTensors: Tensor[] }[] = [];
    const double = customFunction({
      forward: (ctx, t: Tensor) => (contexts.push(ctx), ctx.saveForBackward(t), t.mul(2)),
      backward: (_, g) => g.mul(2),
    });
    const before = live();
    const x = leaf([1, 2]);
    const loss = tidy(() => double(x).sum());
    tidy(() => loss.backward());
    expect(() => contexts[0]!.savedTensors).toThrow(AutogradError);
    contexts[0]!.release();
    contexts[0]!.release();
    expect(x.toArraySync()).toEqual([1, 2]);
    for (const t of [loss, x.grad!, x]) t.dispose();
    expect(live()).toBe(before);
  });
});

describe('gradcheck', () => {
  const x = (): Tensor => leaf([0.5, -1.2, 2], 'float64');
  it('catches a wrong derivative', () => {
    const wrong = customFunction({
      forward: (ctx, t: Tensor) => (ctx.saveForBackward(t), t.sin()),
      backward: (ctx, g) => g.mul(ctx.savedTensors[0]!.cos()).mul(1.001),
    });
    expect(() => gradcheck(wrong, [x()])).toThrow(/gradient of input 0 at element 0 is .*, finite differences say/);
  });
  it('catches a missing gradient', () => {
    expect(() => gradcheck(t => t.detach().square().add(t.mul(0)), [x()])).toThrow(AutogradError);
  });
  it('catches a wrong second derivative', () => {
    const wrong = customFunction({
      forward: (ctx, t: Tensor) => (ctx.saveForBackward(t), t.sin()),
      backward: (ctx, g) => g.mul(noGrad(() => ctx.savedTensors[0]!.cos())),
    });
    expect(gradcheck(wrong, [x()])).toBe(true);
    expect(() => gradcheck(wrong, [x()], { second: true })).toThrow(/second gradient/);
  });
  it('wants float64', () => {
    expect(() => gradcheck(t => t.sin(), [leaf([1])])).toThrow(/needs float64/);
  });
  it('checks every input that requires a gradient, and no other', () => {
    const fixed = tensor([1, 2, 3], { dtype: 'float64' });
    expect(gradcheck((a, b) => a!.mul(b!).exp(), [x(), fixed])).toBe(true);
    expect(gradcheck((a, b) => a!.mul(b!).exp(), [x(), x()], { second: true })).toBe(true);
  });
});

describe('a model', () => {
  test('trains: gradients of a step agree with finite differences', () => {
    manualSeed(0);
    tidy(() => {
      const input = randn([4, 3], { dtype: 'float64' });
      const target = randn([4, 2], { dtype: 'float64' });
      const net = (w1: Tensor, b1: Tensor, w2: Tensor): Tensor =>
        F.mseLoss(F.linear(F.gelu(F.linear(input, w1, b1)), w2), target);
      const parameters = [[5, 3], [5], [2, 5]].map(shape => randn(shape, { dtype: 'float64', requiresGrad: true }));
      gradcheck((a, b, c) => net(a!, b!, c!), parameters, { second: true });
    });
  });
  test('accumulates over micro-batches what one batch gives', () => {
    manualSeed(0);
    tidy(() => {
      const model = new nn.Linear(3, 2, { dtype: 'float64' });
      const x = randn([8, 3], { dtype: 'float64' });
      model.forward(x).square().sum().backward();
      const whole = model.weight.grad!.clone();
      model.zeroGrad();
      expect(model.weight.grad).toBeNull();
      for (const part of x.split(2)) model.forward(part).square().sum().backward();
      expect(model.weight.grad!).toBeAllclose(whole, { atol: 1e-12, rtol: 1e-12 });
      model.zeroGrad();
      for (const parameter of model.parameters()) parameter.dispose();
    });
  });
  test('frozen parameters get no gradient and cost no graph', () => {
    tidy(() => {
      const w = full([2], 3);
      expect(w.mul(2).gradFn).toBeNull();
      w.requiresGrad = true;
      expect(w.mul(2).gradFn).toBe('MulBackward');
      w.requiresGrad = false;
      expect(w.mul(2).gradFn).toBeNull();
    });
  });
});
