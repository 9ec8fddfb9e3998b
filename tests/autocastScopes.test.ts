import { describe, expect, test } from 'bun:test';
import {
  autocast,
  autocastDtype,
  AutocastError,
  AutocastReport,
  autograd,
  clearAutocastCache,
  customBwd,
  customFwd,
  DisposedError,
  F,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  randn,
  tensor,
  tidy,
  type AutocastOptions,
  type Tensor,
} from 'castor';
import { tidyTest as it } from './setup.ts';

const low = { dtype: 'bfloat16' } as const;
const x = (): Tensor => ones([2, 4]).mul(0.5);
const dtypeOf = (options: AutocastOptions['overrides'], fn: () => Tensor): string =>
  autocast({ ...low, overrides: options! }, fn).dtype;

describe('overrides', () => {
  it('give an op another policy, for the scope and those inside', () => {
    const softmax = (): Tensor => x().to('bfloat16').softmax(-1);
    expect(dtypeOf({ softmax: 'input' }, softmax)).toBe('bfloat16');
    expect(dtypeOf({ softmax: 'low' }, () => x().softmax(-1))).toBe('bfloat16');
    expect(dtypeOf({ matmul: 'fp32' }, () => x().to('bfloat16').matmul(x().to('bfloat16').T))).toBe('float32');
    expect(dtypeOf({ matmul: 'input' }, () => x().matmul(x().T))).toBe('float32');
    expect(dtypeOf({ relu: 'fp32' }, () => x().to('bfloat16').relu())).toBe('float32');
    expect(dtypeOf({ layerNorm: 'input' }, () => F.layerNorm(x().to('bfloat16'), [4]))).toBe('bfloat16');
    autocast({ ...low, overrides: { softmax: 'input', exp: 'input' } }, () => {
      autocast({ overrides: { exp: 'fp32' } }, () => {
        expect([softmax().dtype, x().to('bfloat16').exp().dtype]).toEqual(['bfloat16', 'float32']);
        expect(autocast.current().overrides).toEqual({ softmax: 'input', exp: 'fp32' });
      });
      expect(x().to('bfloat16').exp().dtype).toBe('bfloat16');
    });
    expect(autocast(low, softmax).dtype).toBe('float32');
  });
  it('reach composed ops as a whole, and lift a ban', () => {
    const loss = (): Tensor => F.mseLoss(x().to('bfloat16'), x().to('bfloat16').mul(2));
    expect(dtypeOf({}, loss)).toBe('float32');
    expect(dtypeOf({ mseLoss: 'input', square: 'input' }, loss)).toBe('bfloat16');
    expect(dtypeOf({ binaryCrossEntropy: 'fp32' }, () => F.binaryCrossEntropy(x().to('bfloat16'), x()))).toBe(
      'float32',
    );
  });
  it('of ops or policies that are not there are errors that list what is', () => {
    expect(() => dtypeOf({ sofmax: 'input' } as never, x)).toThrow(/no op 'sofmax'.*autocast\.policy\(\)/);
    expect(() => dtypeOf({ softmax: 'half' } as never, x)).toThrow(
      /'half' is not a policy.*low, fp32, promote, banned, input/,
    );
    expect(() => dtypeOf({ softmax: 'half' } as never, x)).toThrow(AutocastError);
  });
});

describe('autocast.report', () => {
  const weight = nn.Parameter;
  it('tells ops, dtypes, counts and bytes, and every cast', async () => {
    const w = weight(ones([4, 4]));
    const { result, report } = await autocast.report(low, () => {
      const input = x();
      return F.linear(F.linear(input, w), w).softmax(-1).add(1);
    });
    expect(result.dtype).toBe('float32');
    expect(report.ops).toEqual([
      { op: 'mul', policy: 'input', given: ['float32'], read: ['float32'], out: 'float32', count: 1, bytes: 64 },
      {
        op: 'linear',
        policy: 'low',
        given: ['float32', 'float32'],
        read: ['bfloat16', 'bfloat16'],
        out: 'bfloat16',
        count: 1,
        bytes: 64,
      },
      {
        op: 'linear',
        policy: 'low',
        given: ['bfloat16', 'float32'],
        read: ['bfloat16', 'bfloat16'],
        out: 'bfloat16',
        count: 1,
        bytes: 64,
      },
      { op: 'softmax', policy: 'fp32', given: ['bfloat16'], read: ['bfloat16'], out: 'float32', count: 1, bytes: 48 },
      { op: 'add', policy: 'input', given: ['float32'], read: ['float32'], out: 'float32', count: 1, bytes: 64 },
    ]);
    expect(report.casts).toEqual([
      { from: 'float32', to: 'bfloat16', cache: 'none', count: 1, bytes: 16 },
      { from: 'float32', to: 'bfloat16', cache: 'miss', count: 1, bytes: 32 },
      { from: 'float32', to: 'bfloat16', cache: 'hit', count: 1, bytes: 0 },
    ]);
    expect(report.totals).toEqual({ calls: 5, bytes: 304, casts: 2, castBytes: 48, cacheHits: 1 });
    expect(JSON.parse(JSON.stringify(report))).toEqual({
      ops: report.ops,
      casts: report.casts,
      totals: report.totals,
    } as never);
    expect(`${report}`).toMatch(/^5 calls, 0\.3 kB; 2 casts of 0\.0 kB, 1 spared by the cache\n +op +policy/);
    expect(`${report}`).toMatch(/softmax +fp32 +bfloat16 += +float32 +1/);
    w.dispose();
  });
  it('shows the policy that applied: of a composed op around, or an override', async () => {
    const { report } = await autocast.report({ ...low, overrides: { exp: 'input' } }, () => {
      F.mseLoss(x().to('bfloat16'), x().to('bfloat16').mul(2));
      return x().to('bfloat16').exp();
    });
    const policyOf = (op: string): unknown => report.ops.find(row => row.op === op)!.policy;
    expect([policyOf('sub'), policyOf('exp')]).toEqual(['fp32', 'input']);
  });
  it('has ops in place too', async () => {
    const t = ones([2]);
    const { report } = await autocast.report(low, () =>
      t
        .add_(1)
        .exp_()
        .copy_(tensor([1, 2])),
    );
    expect(report.ops.map(({ op, given, out }) => `${op}: ${given} to ${out}`)).toEqual([
      'add_: float32 to float32',
      'exp_: float32 to float32',
      'copy_: float32,float32 to float32',
    ]);
  });
  it('covers scopes inside and async functions, but not what runs beside', async () => {
    const beside = autocast(low, async () => {
      for (let i = 0; i < 5; i++) {
        x().exp();
        await Bun.sleep(0);
      }
    });
    const { report } = await autocast.report(low, async () => {
      await Bun.sleep(1);
      x().sin();
      await autocast({ enabled: false }, async () => {
        await Bun.sleep(1);
        x().cos();
      });
    });
    await beside;
    expect(report.ops.map(row => row.op).toSorted()).toEqual(['cos', 'mul', 'sin']);
  });
  it('can be filled by several scopes', () => {
    const report = new AutocastReport();
    for (let i = 0; i < 3; i++) autocast({ ...low, report }, () => x());
    expect(report.totals.calls).toBe(3);
  });
  test('is rejected with the error of the function', async () => {
    await expect(autocast.report(low, () => Promise.reject(new Error('oops')))).rejects.toThrow('oops');
  });
});

describe('autocast.wrap', () => {
  it('keeps this, arguments, name and async results', async () => {
    const wrapped = autocast.wrap(async function named(this: { k: number }, a: number) {
      await Bun.sleep(1);
      return [this.k, a, autocastDtype()];
    }, low);
    expect(wrapped.name).toBe('named');
    expect(await wrapped.call({ k: 1 }, 2)).toEqual([1, 2, 'bfloat16']);
    expect(autocastDtype()).toBeNull();
  });
});

describe('the cast cache', () => {
  it('has a copy a scope, also when scopes take turns with a weight', async () => {
    const w = nn.Parameter(ones([8, 8]));
    const x = ones([1, 8]).to('bfloat16');
    const thrice = async (): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        F.linear(x, w);
        await null;
      }
    };
    const scopes = await Promise.all([autocast.report(low, thrice), autocast.report(low, thrice)]);
    for (const { report } of scopes) expect(report.totals).toMatchObject({ casts: 1, cacheHits: 2 });
  });
  it('does not bring back what was disposed', () => {
    const w = nn.Parameter(ones([8, 8]));
    const view = noGrad(() => w.transpose(0, 1));
    const x = ones([1, 8]);
    autocast(low, () => {
      noGrad(() => [F.linear(x, w), F.linear(x, view)]);
      view.dispose();
      expect(() => F.linear(x, view)).toThrow(DisposedError);
      w.dispose();
      expect(() => F.linear(x, w)).toThrow(DisposedError);
    });
  });
  it("leaves the caller's array of tensors alone", () => {
    const list = [ones([2]), ones([2])];
    autocast({ ...low, overrides: { cat: 'low' } }, () => F.cat(list));
    expect(list.map(t => t.dtype)).toEqual(['float32', 'float32']);
  });
});

describe('clearAutocastCache', () => {
  it('gives the copies back at once, and is nothing outside a scope', () => {
    const w = nn.Parameter(ones([8, 8]));
    autocast(low, () => {
      F.linear(ones([1, 8]), w);
      const before = memory.stats().liveBytes;
      clearAutocastCache();
      expect(memory.stats().liveBytes).toBe(before - 128);
    });
    clearAutocastCache();
    w.dispose();
  });
});

describe('customFwd and customBwd', () => {
  it('refuse what is no floating dtype, and a backward whose forward noted nothing', () => {
    expect(() => customFwd({ castInputs: 'int32' as never }, () => ones([1]))).toThrow(AutocastError);
    const half = autograd.customFunction({
      forward: (_ctx, a: Tensor) => a.mul(2),
      backward: customBwd((_ctx, grad) => grad),
    });
    expect(() =>
      half(ones([2]).requiresGrad_())
        .sum()
        .backward(),
    ).toThrow(/customFwd/);
  });
  it('leave float64 and integers alone', () => {
    const seen: string[] = [];
    const fn = autograd.customFunction({
      forward: customFwd({ castInputs: 'float32' }, (_ctx, a: Tensor, b: Tensor, c: Tensor) => {
        seen.push(a.dtype, b.dtype, c.dtype);
        return a.sum();
      }),
      backward: customBwd(() => [null, null, null]),
    });
    autocast(low, () => fn(ones([1]).to('bfloat16'), ones([1]).to('float64'), ones([1]).to('int64')));
    expect(seen).toEqual(['float32', 'float64', 'int64']);
  });
});

describe('double backward', () => {
  it('goes through the casts: second derivatives of a low product are those of the formula', () => {
    const [a, w] = [ones([1, 1]).mul(3).requiresGrad_(), nn.Parameter(ones([1, 1]).mul(2))];
    const y = autocast(low, () => F.linear(a, w).float().pow(2).sum());
    const [first] = autograd.grad(y, [w], { createGraph: true });
    const [second] = autograd.grad(first!.sum(), [w]);
    expect([first!.itemSync(), second!.itemSync(), second!.dtype]).toEqual([36, 18, 'float32']);
    w.dispose();
  });
});

describe('checkpoint', () => {
  const net = (): { w: Tensor; block: (h: Tensor) => Tensor } => {
    const w = nn.Parameter(randn([32, 32]));
    return { w, block: h => F.dropout(F.linear(h, w).tanh(), 0.5).mul(h) };
  };
  it('gives the bits of a plain run, dropout and all, and keeps less', () => {
    const { w, block } = net();
    const input = randn([64, 32]).requiresGrad_();
    const run = (through: (h: Tensor) => Tensor): unknown[] => {
      w.grad = input.grad = null;
      const before = memory.stats().liveBytes;
      const loss = tidy(() => {
        const out = autocast(low, () => [1, 2, 3].reduce<Tensor>(through, input));
        return out.float().sum();
      });
      const held = memory.stats().liveBytes - before;
      loss.backward();
      return [w.grad!.dataSync(), input.grad!.dataSync(), held];
    };
    manualSeed(4);
    const plain = run(block);
    manualSeed(4);
    const saved = run(h => autograd.checkpoint(block, h));
    expect(saved.slice(0, 2)).toEqual(plain.slice(0, 2));
    expect(saved[2]).toBeLessThan(0.7 * (plain[2] as number));
    w.dispose();
  });
  it('differentiates twice', () => {
    const f = (t: Tensor): Tensor => t.tanh().mul(t).exp();
    const second = (through: (t: Tensor) => Tensor): unknown => {
      const t = tensor([0.3, -0.7]).requiresGrad_();
      const [g] = autograd.grad(through(t).sum(), [t], { createGraph: true });
      return autograd.grad(g!.square().sum(), [t])[0]!.dataSync();
    };
    expect(second(t => autograd.checkpoint(f, t))).toEqual(second(f));
  });
  it('runs again only once a backward, with retainGraph too, and not after it', () => {
    let runs = 0;
    const t = ones([2]).requiresGrad_();
    const loss = autograd.checkpoint(h => {
      runs++;
      return h.exp().mul(h).sum();
    }, t);
    loss.backward(undefined, { retainGraph: true });
    expect(runs).toBe(2);
    loss.backward();
    expect(runs).toBe(2);
    expect(() => loss.backward()).toThrow(/second time/);
  });
  it('refuses, as a plain graph does, what was changed in place since: an argument, a weight, a bias, through a cast too', () => {
    const made = (): Record<'h' | 'w' | 'b' | 'frozen' | 'factor', Tensor> => ({
      h: randn([2, 4]).requiresGrad_().mul(1),
      w: nn.Parameter(randn([4, 4])),
      b: nn.Parameter(randn([4])),
      frozen: randn([4]),
      factor: ones([1]),
    });
    for (const name of ['h', 'w', 'b', 'frozen', 'factor'] as const)
      for (const enabled of [false, true]) {
        const all = made();
        const block = (h: Tensor): Tensor =>
          F.linear(h, all.w, all.b).add(all.frozen.exp()).mul_(all.factor).exp().mul(h).sum();
        const loss = autocast({ ...low, enabled }, () => autograd.checkpoint(block, all.h));
        noGrad(() => all[name].mul_(2));
        expect(() => loss.backward()).toThrow(/^checkpoint: .* was changed in place; it is one of shape/);
      }
  });
  it('notices a weight that an override casts, too', () => {
    const w = nn.Parameter(ones([4]));
    const loss = autocast({ ...low, overrides: { rmsNorm: 'low' } }, () =>
      autograd.checkpoint(h => F.rmsNorm(h, [4], w).exp().sum(), randn([2, 4]).requiresGrad_()),
    );
    noGrad(() => w.mul_(2));
    expect(() => loss.backward()).toThrow(/changed in place; it is one of shape \[4\]/);
  });
  it('allows what the function itself makes and changes, and statistics it keeps', () => {
    const count = tensor([0]);
    const t = ones([2]).requiresGrad_();
    const loss = autograd.checkpoint(h => {
      noGrad(() => count.copy_(count.add(1)));
      const own = h.mul(3).mul_(2);
      return own.exp_().sum();
    }, t);
    noGrad(() => count.add_(1));
    loss.backward();
    expect(t.grad!).toBeAllclose([6 * Math.exp(6), 6 * Math.exp(6)]);
  });
  it('adds nothing to a report that is written', async () => {
    const t = ones([2, 2]).requiresGrad_();
    const { result, report } = await autocast.report(low, () => autograd.checkpoint(h => h.matmul(h).exp().sum(), t));
    const before = report.totals;
    expect(before.calls).toBe(3);
    result.backward();
    expect(report.totals).toEqual(before);
  });
  it('of a function that changes its mind, or is async, is an error', () => {
    let flip = false;
    const loss = autograd.checkpoint(
      (h: Tensor) => {
        flip = !flip;
        return (flip ? h.exp() : h.sin().mul(h)).sum();
      },
      ones([2]).requiresGrad_(),
    );
    expect(() => loss.backward()).toThrow(/did something else/);
    let rows = 2;
    const shrinking = autograd.checkpoint((h: Tensor) => h.slice(0, 0, rows--).exp().sum(), ones([2]).requiresGrad_());
    expect(() => shrinking.backward()).toThrow(/did something else/);
    expect(() => autograd.checkpoint(3 as never)).toThrow(/^checkpoint: 3 is not a function/);
    expect(() => autograd.checkpoint(async (h: Tensor) => h, ones([1]).requiresGrad_())).toThrow(/async/);
  });
});
