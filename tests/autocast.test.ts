import { describe, expect, test } from 'bun:test';
import {
  autocast,
  autocastDtype,
  AutocastError,
  autograd,
  cat,
  CastorError,
  DeviceError,
  DTypeError,
  enableGrad,
  F,
  full,
  getDefaultDevice,
  isAutocastEnabled,
  isAvailable,
  keep,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  tensor,
  tidy,
  zeros,
  type DType,
  type LowDType,
  type Tensor,
} from 'castor';
import { liveStorages as live } from './setup.ts';
import { POLICY_VERSION } from '../runtime/amp/policy.ts';

/** A test that starts from one seed, and whose tensors are all freed when it ends. */
const it = (name: string, fn: () => void): void =>
  test(name, () => {
    manualSeed(5);
    tidy(fn);
    expect(autocastDtype()).toBeNull();
  });
const lows = ['float16', 'bfloat16'] as const;
const otherLow = (dtype: LowDType): LowDType => (dtype === 'float16' ? 'bfloat16' : 'float16');
const product = (): DType => ones([1, 1]).matmul(ones([1, 1])).dtype;
const allocations = (fn: () => unknown): number => {
  const before = memory.stats().allocations;
  fn();
  return memory.stats().allocations - before;
};

describe('a scope', () => {
  it('computes products in 16 bits and leaves nothing behind', () => {
    expect(product()).toBe('float32');
    expect(autocast({ dtype: 'float16' }, product)).toBe('float16');
    expect(autocast({ dtype: 'bfloat16' }, product)).toBe('bfloat16');
    expect(product()).toBe('float32');
  });
  it('takes bfloat16 on a cpu and float16 on cuda when not told', () => {
    expect(autocast({ device: 'cpu' }, () => autocastDtype('cpu'))).toBe('bfloat16');
    if (isAvailable('cuda')) expect(autocast({ device: 'cuda' }, () => autocastDtype('cuda'))).toBe('float16');
    expect(autocast(product)).toBe(getDefaultDevice() === 'cpu' ? 'bfloat16' : 'float16');
    expect(isAutocastEnabled()).toBe(false);
    expect(autocast(() => isAutocastEnabled())).toBe(true);
  });
  it('nests: the inner one wins, and ends where it ends', () => {
    autocast({ dtype: 'float16' }, () => {
      autocast({ dtype: 'bfloat16' }, () => expect(product()).toBe('bfloat16'));
      expect(product()).toBe('float16');
      autocast({ enabled: false }, () => {
        expect(autocastDtype()).toBeNull();
        expect(product()).toBe('float32');
        // Neither scope names a dtype, so it is that of the surrounding scope.
        autocast(() => expect(product()).toBe('float16'));
      });
      autocast(() => expect(product()).toBe('float16'));
      expect(product()).toBe('float16');
    });
  });
  it('that is disabled still sets the dtype for scopes inside', () => {
    autocast({ dtype: 'float16', enabled: false }, () => {
      expect(product()).toBe('float32');
      autocast(() => expect(product()).toBe('float16'));
    });
  });
  it('that is disabled accepts any dtype', () => {
    expect(autocast({ dtype: 'float32' as LowDType, enabled: false }, product)).toBe('float32');
  });
  it('with the same options entered again inside itself, as in recursion', () => {
    const options = Object.freeze({ dtype: 'float16' as const });
    const recurse = (depth: number): DType[] =>
      autocast(options, () => [product(), ...(depth > 0 ? recurse(depth - 1) : []), product()]);
    expect(new Set(recurse(3))).toEqual(new Set<DType>(['float16']));
    expect(product()).toBe('float32');
  });
  it('returns what the function returns, and ends when it throws', () => {
    expect(autocast({ dtype: 'float16' }, () => 'value')).toBe('value');
    expect(() =>
      autocast(() => {
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(product()).toBe('float32');
  });
  test('follows async functions to their end', async () => {
    const inside = autocast({ dtype: 'float16' }, async () => {
      const seen = [autocastDtype()];
      await Bun.sleep(1);
      seen.push(autocastDtype());
      await autocast({ enabled: false }, async () => {
        await Bun.sleep(1);
        seen.push(autocastDtype());
      });
      seen.push(autocastDtype());
      return seen;
    });
    expect(autocastDtype()).toBeNull();
    expect(await inside).toEqual(['float16', 'float16', null, 'float16']);
    expect(autocastDtype()).toBeNull();
    await expect(
      autocast(async () => {
        await Bun.sleep(1);
        throw new Error('stop');
      }),
    ).rejects.toThrow('stop');
    expect(autocastDtype()).toBeNull();
  });
  test('is not seen by 100 interleaved tasks with scopes of their own', async () => {
    const before = live();
    const weight = nn.Parameter(ones([2, 2]));
    const wanted = (i: number): LowDType | null => [null, 'float16', 'bfloat16'][i % 3] as LowDType | null;
    const task = async (i: number): Promise<void> => {
      const body = async (): Promise<void> => {
        for (let step = 0; step < 4; step++) {
          await Bun.sleep((i * 13 + step * 7) % 5);
          expect(autocastDtype()).toBe(wanted(i));
          tidy(() => expect(F.linear(ones([1, 2]), weight).dtype).toBe(wanted(i) ?? 'float32'));
        }
      };
      await (wanted(i) === null ? body() : autocast({ dtype: wanted(i)! }, body));
    };
    await Promise.all(Array.from({ length: 100 }, (_, i) => task(i)));
    weight.dispose();
    expect(live()).toBe(before);
  });
  it('refuses what it cannot do', () => {
    expect(() => autocast({ dtype: 'float32' as LowDType }, product)).toThrow(AutocastError);
    expect(() => autocast({ dtype: 'float64' as LowDType }, product)).toThrow(/16 bits/);
    expect(() => autocast({ dtype: 'half' as LowDType }, product)).toThrow(AutocastError);
    expect(() => autocast({ device: 'tpu' as 'cpu' }, product)).toThrow(DeviceError);
    expect(() => autocast({} as never)).toThrow(/no function to run/);
  });
  test.skipIf(isAvailable('cuda'))('for a device that is not there is an error, not a silent no', () => {
    expect(() => autocast({ device: 'cuda' }, product)).toThrow(/'cuda' is not available/);
  });
});

/** Makes a tensor of a shape in the dtype under test, with values in (0.1, 0.9), where every op is defined. */
type Make = (shape: number[]) => Tensor;
const make =
  (dtype: DType): Make =>
  shape => {
    const n = shape.reduce((a, b) => a * b, 1);
    return tensor(Array.from({ length: n }, (_, i) => 0.1 + (0.8 * (i + 0.5)) / n))
      .reshape(shape)
      .to(dtype);
  };
const classes = (): Tensor => tensor([0, 2], { dtype: 'int64' });
const index = (): Tensor => tensor([[0, 1]], { dtype: 'int64' });
const unary = (name: 'exp') => (x: Make) => x([2, 3])[name]();

/** A call of each listed op. */
const calls: Record<string, (x: Make) => Tensor> = {
  matmul: x => x([2, 3]).matmul(x([3, 2])),
  linear: x => F.linear(x([2, 3]), x([4, 3]), x([4])),
  convolution: x => F.conv2d(x([1, 2, 4, 4]), x([2, 2, 3, 3]), x([2])),
  scaledDotProductAttention: x => F.scaledDotProductAttention(x([1, 2, 3, 4]), x([1, 2, 3, 4]), x([1, 2, 3, 4])),
  ...Object.fromEntries(
    'acos asin cosh sinh tan erfinv exp expm1 log log10 log1p log2 reciprocal rsqrt square'
      .split(' ')
      .map(name => [name, unary(name as 'exp')]),
  ),
  softplus: x => F.softplus(x([2, 3]), { beta: 2 }),
  pow: x => x([2, 3]).pow(2.5),
  sum: x => x([2, 3]).sum(1),
  prod: x => x([2, 3]).prod(),
  norm: x => x([2, 3]).norm(2, 1),
  logSumExp: x => x([2, 3]).logSumExp(0),
  cumsum: x => x([2, 3]).cumsum(1),
  cumprod: x => x([2, 3]).cumprod(1),
  softmax: x => x([2, 3]).softmax(-1),
  logSoftmax: x => x([2, 3]).logSoftmax(-1),
  layerNorm: x => F.layerNorm(x([2, 3]), [3], x([3]), x([3])),
  rmsNorm: x => F.rmsNorm(x([2, 3]), [3], x([3])),
  groupNorm: x => F.groupNorm(x([2, 4, 3]), 2, x([4]), x([4])),
  crossEntropy: x => F.crossEntropy(x([2, 3]), classes()),
  nllLoss: x => F.nllLoss(x([2, 3]), classes()),
  mseLoss: x => F.mseLoss(x([2, 3]), x([2, 3]).mul(0.5)),
  l1Loss: x => F.l1Loss(x([2, 3]), x([2, 3]).mul(0.5)),
  binaryCrossEntropyWithLogits: x => F.binaryCrossEntropyWithLogits(x([2, 3]), x([2, 3])),
  addcdiv: x => F.addcdiv(x([2, 3]), x([2, 3]), x([2, 3]), 0.5),
  addcmul: x => F.addcmul(x([2, 3]), x([2, 3]), x([2, 3]), 0.5),
  atan2: x => x([2, 3]).atan2(x([2, 3])),
  scatterAdd: x => x([1, 3]).scatterAdd(1, index(), x([1, 2])),
  binaryCrossEntropy: x => F.binaryCrossEntropy(x([2, 3]), x([2, 3])),
};
const policies = Object.entries(autocast.policy()).filter(([, policy]) => policy !== 'input');
const named = (policy: string): string[] => policies.filter(([, p]) => p === policy).map(([name]) => name);

/** Functions whose products are the listed op convolution. */
const convolutions = ['conv1d', 'conv2d'];
describe('the policy table', () => {
  test('names every public op once', () => {
    const names = Object.keys(autocast.policy()).filter(name => name !== 'convolution');
    expect([...names, ...convolutions].toSorted()).toEqual(Object.keys(F).toSorted());
    expect(Object.keys(calls).toSorted()).toEqual(policies.map(([name]) => name).toSorted());
    expect(POLICY_VERSION).toBe(3);
  });
  test('is a copy: changing it changes nothing', () => {
    autocast.policy().matmul = 'fp32';
    expect(autocast.policy().matmul).toBe('low');
  });

  for (const low of lows) {
    describe(`under ${low}`, () => {
      const dtypes = ['float32', low, otherLow(low)] as const;
      test.each(named('low'))('%s gives the low dtype, bit for bit that of inputs cast by hand', name => {
        tidy(() => {
          for (const dtype of dtypes) {
            const result = autocast({ dtype: low }, () => calls[name]!(make(dtype)));
            expect(result.dtype).toBe(low);
            expect(result.dataSync()).toEqual(calls[name]!(shape => make(dtype)(shape).to(low)).dataSync());
          }
        });
      });
      test.each(named('fp32'))('%s gives float32, bit for bit that of inputs cast by hand', name => {
        tidy(() => {
          for (const dtype of dtypes) {
            const result = autocast({ dtype: low }, () => calls[name]!(make(dtype)));
            expect(result.dtype).toBe('float32');
            expect(result.dataSync()).toEqual(calls[name]!(shape => make(dtype)(shape).float()).dataSync());
          }
        });
      });
      test.each(named('promote'))('%s gives the widest of its operands, in whatever order', name => {
        tidy(() => {
          const run = (...order: DType[]): DType => {
            let i = 0;
            return autocast({ dtype: low }, () => calls[name]!(shape => make(order[i++ % order.length]!)(shape)).dtype);
          };
          expect(run(low)).toBe(low);
          expect(run('float32')).toBe('float32');
          expect([run(low, 'float32'), run('float32', low)]).toEqual(['float32', 'float32']);
          expect([run(low, otherLow(low)), run(otherLow(low), low)]).toEqual(['float32', 'float32']);
        });
      });
      test.each(policies.map(([name]) => name).filter(name => name !== 'binaryCrossEntropy'))(
        '%s of float64 is left alone',
        name => {
          tidy(() => {
            const result = autocast({ dtype: low }, () => calls[name]!(make('float64')));
            expect(result.dtype).toBe('float64');
            expect(result.dataSync()).toEqual(calls[name]!(make('float64')).dataSync());
          });
        },
      );
      it('untouched elementwise ops keep the dtype of their inputs', () => {
        autocast({ dtype: low }, () => {
          const names = [
            'abs',
            'neg',
            'sqrt',
            'sin',
            'tanh',
            'erf',
            'sigmoid',
            'relu',
            'silu',
            'gelu',
            'mean',
            'var',
            'std',
            'amax',
          ] as const;
          for (const name of names) for (const dtype of dtypes) expect(F[name](make(dtype)([2, 3])).dtype).toBe(dtype);
          expect(make(low)([2]).add(make('float32')([2])).dtype).toBe('float32');
          expect(make(low)([2]).add(make(otherLow(low))([2])).dtype).toBe('float32');
          expect(cat([make(low)([2]), make('float32')([2])]).dtype).toBe('float32');
        });
      });
    });
  }

  it('banned ops are refused, in every dtype, with the way out', () => {
    for (const dtype of ['float32', 'float16', 'float64'] as const)
      expect(() => autocast(() => calls.binaryCrossEntropy!(make(dtype)))).toThrow(/binaryCrossEntropyWithLogits/);
    const error = (() => {
      try {
        return autocast(() => new nn.BCELoss().forward(zeros([2]), zeros([2])));
      } catch (caught) {
        return caught;
      }
    })() as CastorError;
    expect(error).toBeInstanceOf(AutocastError);
    expect(error.op).toBe('binaryCrossEntropy');
    expect(autocast(() => autocast({ enabled: false }, () => calls.binaryCrossEntropy!(make('float32')))).dtype).toBe(
      'float32',
    );
  });
});

describe('what autocast does not touch', () => {
  it('integers and truth values', () => {
    autocast(() => {
      const ints = tensor(
        [
          [1, 2],
          [3, 4],
        ],
        { dtype: 'int64' },
      );
      expect(ints.matmul(ints).dtype).toBe('int64');
      expect(ints.sum().dtype).toBe('int64');
      expect(ints.cumsum(0).dtype).toBe('int64');
      expect(ints.pow(2).dtype).toBe('int64');
      expect(ints.exp().dtype).toBe('float32');
      expect(ints.gt(2).sum().dtype).toBe('int64');
    });
  });
  it('float64 beside an eligible tensor: a plain dtype error', () => {
    expect(() => autocast(() => ones([2, 2], { dtype: 'float64' }).matmul(ones([2, 2])))).toThrow(DTypeError);
  });
  it('in-place forms', () => {
    autocast({ dtype: 'bfloat16' }, () => {
      const wide = ones([2]);
      expect(wide.add_(ones([2], { dtype: 'bfloat16' })).dtype).toBe('float32');
      expect(wide.exp_().dtype).toBe('float32');
      expect(ones([2], { dtype: 'bfloat16' }).exp_().dtype).toBe('bfloat16');
    });
  });
  it('a dtype that was asked for', () => {
    autocast({ dtype: 'bfloat16' }, () => {
      const x = ones([2], { dtype: 'bfloat16' });
      expect(x.sum(0, { dtype: 'float64' }).dtype).toBe('float64');
      expect(x.sum(0, { dtype: 'bfloat16' }).dtype).toBe('bfloat16');
      expect(x.softmax(0, { dtype: 'float64' }).dtype).toBe('float64');
      expect(x.cumsum(0, { dtype: 'float16' }).dtype).toBe('float16');
    });
  });
  it('creation', () => {
    autocast(() => {
      expect(zeros([1]).dtype).toBe('float32');
      expect(randn([1]).dtype).toBe('float32');
      expect(tensor([1]).dtype).toBe('float32');
    });
  });
  it('the parts of a composed op: they follow its policy as a whole', () => {
    autocast({ dtype: 'bfloat16' }, () => {
      const x = randn([4, 3], { dtype: 'bfloat16' });
      expect(F.mseLoss(x, x.mul(0.5)).dtype).toBe('float32');
      // Through bfloat16 differences the loss would be off by about 2^-8.
      const wide = autocast({ enabled: false }, () => F.mseLoss(x.float(), x.mul(0.5).float()));
      expect(F.mseLoss(x, x.mul(0.5)).itemSync()).toBe(wide.itemSync());
    });
  });
  it('statistics of batch norm, which stay float32 and reach the buffers', () => {
    const bn = new nn.BatchNorm2d(2);
    const x = randn([4, 2, 3, 3]);
    const y = autocast({ dtype: 'bfloat16' }, () => bn.forward(x.to('bfloat16')));
    expect(y.dtype).toBe('bfloat16');
    expect(bn.runningMean!.dtype).toBe('float32');
    expect(bn.runningMean!.abs().sum().itemSync()).toBeGreaterThan(0);
    for (const [, t] of bn.namedTensors()) t.dispose();
  });
});

describe('memory under autocast', () => {
  it('backward keeps 16-bit activations', () => {
    const w = nn.Parameter(randn([256, 256]));
    const bytes = (run: () => Tensor): number => {
      const before = memory.stats().liveBytes;
      const loss = tidy(run);
      const held = memory.stats().liveBytes - before;
      loss.dispose();
      return held;
    };
    const net = (): Tensor => {
      let x: Tensor = randn([512, 256]);
      for (let i = 0; i < 6; i++) x = F.linear(x, w).relu();
      return x.mean();
    };
    const [wide, low] = [bytes(net), bytes(() => autocast({ dtype: 'bfloat16' }, net))];
    expect(low).toBeLessThan(0.65 * wide);
    w.dispose();
  });
});

describe('the cache', () => {
  const weight = (): Tensor => nn.Parameter(ones([2, 2]));
  const low = { dtype: 'bfloat16' } as const;
  const x = (): Tensor => ones([1, 2], { dtype: 'bfloat16' });

  it('casts a weight once a scope', () => {
    const [w, input] = [weight(), x()];
    autocast(low, () => {
      expect(allocations(() => F.linear(input, w))).toBe(2);
      expect(allocations(() => F.linear(input, w))).toBe(1);
      autocast({ enabled: false }, () => {});
      autocast(() => expect(allocations(() => F.linear(input, w))).toBe(1));
      expect(allocations(() => F.linear(input, w))).toBe(1);
    });
    autocast(low, () => expect(allocations(() => F.linear(input, w))).toBe(2));
    w.dispose();
  });
  it('also of frozen parameters and of views of either, not of results or plain tensors', () => {
    const input = x();
    const frozen = weight().requiresGrad_(false);
    const w = weight();
    const twice = (t: Tensor): number =>
      autocast(low, () => {
        F.linear(input, t);
        return allocations(() => F.linear(input, t));
      });
    expect(twice(frozen)).toBe(1);
    expect(twice(w.mul(2))).toBe(2);
    expect(twice(w.T)).toBe(1);
    expect(twice(frozen.T)).toBe(1);
    expect(twice(w.at('1:').T.T)).toBe(1);
    expect(twice(ones([2, 2]))).toBe(2);
    frozen.dispose();
    w.dispose();
  });
  it('can be switched off, also for what lies inside', () => {
    const [w, input] = [weight(), x()];
    autocast({ ...low, cacheEnabled: false }, () => {
      F.linear(input, w);
      expect(allocations(() => F.linear(input, w))).toBe(2);
      autocast(() => expect(allocations(() => F.linear(input, w))).toBe(2));
      autocast({ cacheEnabled: true }, () => {
        F.linear(input, w);
        expect(allocations(() => F.linear(input, w))).toBe(1);
      });
    });
    w.dispose();
  });
  it('sees a weight that changed inside the scope', () => {
    const [w, input] = [weight(), x()];
    autocast(low, () => {
      expect(F.linear(input, w).toArraySync()).toEqual([[2, 2]]);
      noGrad(() => w.mul_(3));
      expect(F.linear(input, w).toArraySync()).toEqual([[6, 6]]);
      F.linear(input, w).sum().backward();
      new optim.SGD([w], { lr: 1 }).step();
      expect(F.linear(input, w).toArraySync()).toEqual([[4, 4]]);
    });
    w.dispose();
  });
  it('never mixes two dtypes', () => {
    const w = weight();
    autocast({ dtype: 'bfloat16' }, () => {
      expect(F.linear(ones([1, 2]), w).dtype).toBe('bfloat16');
      autocast({ dtype: 'float16' }, () => expect(F.linear(ones([1, 2]), w).dtype).toBe('float16'));
      expect(F.linear(ones([1, 2]), w).dtype).toBe('bfloat16');
    });
    w.dispose();
  });
  it('used under noGrad first still gives gradients later', () => {
    const w = weight();
    autocast(low, () => {
      noGrad(() => F.linear(x(), w));
      F.linear(x(), w).sum().backward();
    });
    expect(w.grad!.toArraySync()).toEqual([
      [1, 1],
      [1, 1],
    ]);
    autocast(low, () =>
      noGrad(() => enableGrad(() => F.linear(x(), w)))
        .sum()
        .backward(),
    );
    expect(w.grad!.sum().itemSync()).toBe(8);
    w.dispose();
  });
  it('sums the gradients of a weight used many times in float32', () => {
    const w = nn.Parameter(ones([1, 1]));
    autocast(low, () => {
      // A sum in bfloat16 would round 256 + 1 to 256.
      const inputs = [256, 1, 1, 1, 1, 1, 1, 1, 1];
      inputs
        .map(value => F.linear(full([1, 1], value), w))
        .reduce((a, b) => a.float().add(b))
        .sum()
        .backward();
    });
    expect(w.grad!.dtype).toBe('float32');
    expect(w.grad!.itemSync()).toBe(264);
    w.dispose();
  });
  test('is given back when the outermost scope ends', async () => {
    const before = live();
    const w = nn.Parameter(ones([2, 2]));
    autocast(low, () => {
      tidy(() => void F.linear(x(), w));
      expect(live()).toBe(before + 2);
      autocast(() => tidy(() => void F.linear(x(), w)));
      expect(live()).toBe(before + 2);
    });
    expect(live()).toBe(before + 1);
    await autocast(low, async () => {
      tidy(() => void F.linear(x(), w));
      await Bun.sleep(1);
      expect(live()).toBe(before + 2);
    });
    expect(live()).toBe(before + 1);
    expect(() =>
      autocast(low, () => {
        tidy(() => void F.linear(x(), w));
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(live()).toBe(before + 1);
    w.dispose();
  });
  test('of a graph that is still needed waits for backward', () => {
    const before = live();
    const w = nn.Parameter(ones([2, 2]));
    // The gradient of the input reads the cast weight.
    const input = nn.Parameter(ones([1, 2]));
    const loss = tidy(() => autocast(low, () => F.linear(input, w).square().sum()));
    loss.backward();
    expect(input.grad!.toArraySync()).toEqual([[8, 8]]);
    for (const t of [loss, w.grad!, input.grad!, w, input]) t.dispose();
    expect(live()).toBe(before);
  });
});

describe('gradients', () => {
  it('of parameters are float32, of 16-bit results 16-bit', () => {
    const layer = new nn.Linear(4, 3);
    const input = randn([5, 4], { requiresGrad: true });
    let hidden!: Tensor;
    const loss = autocast({ dtype: 'float16' }, () => {
      hidden = layer.forward(input).retainGrad();
      return F.mseLoss(hidden, zeros([5, 3]));
    });
    expect([hidden.dtype, loss.dtype]).toEqual(['float16', 'float32']);
    loss.backward();
    expect([layer.weight.grad!.dtype, layer.bias!.grad!.dtype, input.grad!.dtype, hidden.grad!.dtype]).toEqual([
      'float32',
      'float32',
      'float32',
      'float16',
    ]);
    const wide = new nn.Linear(4, 3);
    wide.loadStateDict(layer.stateDict());
    F.mseLoss(wide.forward(input.detach()), zeros([5, 3])).backward();
    expect(layer.weight.grad!).toBeAllclose(wide.weight.grad!, { atol: 2e-3, rtol: 1e-2 });
    for (const t of [...layer.parameters(), ...wide.parameters()]) t.dispose();
  });
  it('are the same whether backward runs inside or outside of the scope', () => {
    const layer = new nn.Linear(4, 3);
    const input = randn([5, 4]);
    const loss = (): Tensor => layer.forward(input).tanh().softmax(-1).square().sum();
    autocast({ dtype: 'bfloat16' }, () => loss().backward());
    const inside = layer.weight.grad!.clone();
    layer.zeroGrad();
    autocast({ dtype: 'bfloat16' }, loss).backward();
    expect(layer.weight.grad!.dataSync()).toEqual(inside.dataSync());
    layer.zeroGrad();
    const outside = autocast({ dtype: 'bfloat16' }, loss);
    autocast({ dtype: 'float16' }, () => outside.backward());
    expect(layer.weight.grad!.dataSync()).toEqual(inside.dataSync());
    for (const t of layer.parameters()) t.dispose();
  });
  it('of the second order go through the casts', () => {
    const w = keep(
      tensor(
        [
          [2, 0],
          [0, 3],
        ],
        { requiresGrad: true },
      ),
    );
    const input = ones([1, 2], { requiresGrad: true });
    const [g] = autocast({ dtype: 'bfloat16' }, () =>
      autograd.grad(F.linear(input, w).square().sum(), input, { createGraph: true }),
    );
    expect(g!.dtype).toBe('float32');
    expect(g!.toArraySync()).toEqual([[8, 18]]);
    g!.sum().backward();
    // The gradient of x is 2 w^T (w x); the gradient of its sum with respect to w_jk is 2 (row sum j + (w x)_j).
    expect(w.grad!.toArraySync()).toEqual([
      [8, 8],
      [12, 12],
    ]);
    w.dispose();
  });
  it('of ops with a float32 result and a 16-bit input are 16-bit', () => {
    const x = randn([3, 4], { dtype: 'bfloat16', requiresGrad: true });
    autocast({ dtype: 'bfloat16' }, () => {
      F.layerNorm(x, [4])
        .sum()
        .add(x.exp().sum())
        .add(x.softmax(-1).square().sum())
        .add(F.crossEntropy(x, tensor([0, 1, 3], { dtype: 'int64' })))
        .backward();
    });
    expect(x.grad!.dtype).toBe('bfloat16');
    const wide = x.detach().float().requiresGrad_();
    F.layerNorm(wide, [4])
      .sum()
      .add(wide.exp().sum())
      .add(wide.softmax(-1).square().sum())
      .add(F.crossEntropy(wide, tensor([0, 1, 3], { dtype: 'int64' })))
      .backward();
    expect(x.grad!.float()).toBeAllclose(wide.grad!, { atol: 0.03, rtol: 0.03 });
  });
  it('run backward formulas as if autocast were off, inside of any scope', () => {
    const seen: unknown[] = [];
    const fn = autograd.customFunction({
      forward: (_, x: Tensor) => x.mul(2),
      backward: (_, g) => {
        seen.push(autocastDtype());
        return g.mul(2);
      },
    });
    const x = ones([2], { requiresGrad: true });
    autocast(() => fn(x).sum().backward());
    fn(x).sum().backward();
    expect(seen).toEqual([null, null]);
  });
});

describe('modules', () => {
  it('train under float16: losses follow float32', () => {
    const losses = (dtype: LowDType | null): number[] => {
      manualSeed(3);
      const model = new nn.Sequential(new nn.Linear(8, 32), new nn.GELU(), new nn.LayerNorm(32), new nn.Linear(32, 4));
      const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
      const [x, y] = [randn([64, 8]), randn([64, 4])];
      const run = Array.from({ length: 30 }, () =>
        tidy(() => {
          optimizer.zeroGrad();
          const forward = (): Tensor => F.mseLoss(model.forward(x), y);
          const loss = dtype === null ? forward() : autocast({ dtype }, forward);
          loss.backward();
          optimizer.step();
          return loss.itemSync();
        }),
      );
      optimizer.zeroGrad();
      for (const t of [...model.parameters(), ...optimizer.stateDict().state.flatMap(own => Object.values(own!))])
        t.dispose();
      return run;
    };
    const wide = losses(null);
    expect(wide.at(-1)!).toBeLessThan(0.7 * wide[0]!);
    for (const dtype of lows) losses(dtype).forEach((loss, i) => expect(Math.abs(loss - wide[i]!)).toBeLessThan(0.05));
  });
});
