import { expect } from 'bun:test';
import {
  autocast,
  autocastDtype,
  AutocastError,
  autograd,
  clearAutocastCache,
  customBwd,
  customFwd,
  DeviceError,
  F,
  isAutocastEnabled,
  isAvailable,
  memory,
  nn,
  noGrad,
  ones,
  randn,
  cat,
  type Tensor,
} from 'castor';
import { lows, make, type Case } from './case.ts';

const weight = (): Tensor => nn.Parameter(randn([8, 8]));
const x = (): Tensor => randn([4, 8]);

/** A product as a custom function. `seen` records the autocast state in which its functions ran. */
function myProduct(seen: unknown[], castInputs?: 'float32'): (a: Tensor, b: Tensor) => Tensor {
  return autograd.customFunction({
    forward: customFwd(castInputs ? { castInputs } : {}, (ctx, a: Tensor, b: Tensor) => {
      seen.push(a.dtype, isAutocastEnabled());
      ctx.saveForBackward(a, b);
      return a.matmul(b);
    }),
    backward: customBwd((ctx, grad) => {
      const [a, b] = ctx.savedTensors as [Tensor, Tensor];
      const grads = [grad.matmul(b.T), a.T.matmul(grad)] as const;
      seen.push(isAutocastEnabled(), grads[0].dtype);
      return grads;
    }),
  });
}

const casts = async (fn: () => unknown): Promise<number> =>
  (await autocast.report({ dtype: 'bfloat16' }, fn)).report.totals.casts;

/** Cases 24 to 45: custom functions, the cache, checkpoints, and values that a scope refuses. */
export const scopes: readonly Case[] = [
  {
    id: '24',
    title: 'a custom function sees autocast in forward and, wherever backward is called, in backward',
    run: () => {
      for (const dtype of lows) {
        const seen: unknown[] = [];
        const [a, b] = [randn([8, 8], { requiresGrad: true }), randn([8, 8], { requiresGrad: true })];
        const out = autocast({ dtype }, () => myProduct(seen)(a, b));
        expect(out.dtype).toBe(dtype);
        out.float().sum().backward();
        expect(seen).toEqual(['float32', true, true, dtype]);
        expect([a.grad!.dtype, b.grad!.dtype]).toEqual(['float32', 'float32']);
      }
    },
  },
  {
    id: '25',
    title: 'with castInputs it sees float32 and autocast off, in forward and backward; outside a scope nothing is cast',
    run: () => {
      const seen: unknown[] = [];
      const [a, b] = [randn([8, 8]).half().requiresGrad_(), randn([8, 8]).half().requiresGrad_()];
      const out = autocast({ dtype: 'float16' }, () => myProduct(seen, 'float32')(a, b));
      expect(out.dtype).toBe('float32');
      out.sum().backward();
      expect(seen).toEqual(['float32', false, false, 'float32']);
      seen.length = 0;
      expect(myProduct(seen, 'float32')(a, b).dtype).toBe('float16');
      expect(seen).toEqual(['float16', false]);
      const nested: string[] = [];
      const deep = autograd.customFunction({
        forward: customFwd({ castInputs: 'float32' }, (_ctx, box: { list: Tensor[]; map: Map<string, Tensor> }) => {
          nested.push(box.list[0]!.dtype, box.map.get('x')!.dtype);
          return box.list[0]!.sum();
        }),
        backward: customBwd(() => null),
      });
      autocast({ dtype: 'float16' }, () => deep({ list: [a.detach()], map: new Map([['x', b.detach()]]) }));
      expect(nested).toEqual(['float32', 'float32']);
    },
  },
  { id: '26', title: 'the old decorators warn', reason: 'Castor has no old decorators' },
  {
    id: '27',
    title: 'cat in a scope',
    run: () =>
      expect(autocast({ dtype: 'float16' }, () => cat([make('float16')(2), make('float32')(2)])).dtype).toBe('float32'),
  },
  {
    id: '28',
    title: 'recurrent layers against a pure float16 run',
    pending: ['lstm', 'gru', 'rnn'],
    reason: 'Castor has no recurrent layers yet',
  },
  {
    id: '29',
    title: 'repeated products of a weight under noGrad do not grow memory',
    run: () => {
      const [w, input] = [weight(), x()];
      autocast({ dtype: 'bfloat16' }, () =>
        noGrad(() => {
          F.linear(input, w).dispose();
          const before = memory.stats().liveBytes;
          for (let i = 0; i < 5; i++) F.linear(input, w).dispose();
          expect(memory.stats().liveBytes).toBe(before);
        }),
      );
    },
  },
  {
    id: '30',
    title: 'checkpointed blocks in a scope: low output, gradients as without, in the dtypes of forward',
    run: () => {
      const [w, input] = [weight(), x().requiresGrad_()];
      const block = (h: Tensor): Tensor => F.linear(h, w).tanh();
      const gradients = (run: (h: Tensor) => Tensor): unknown[] => {
        w.grad = input.grad = null;
        const out = autocast({ dtype: 'float16' }, () => run(run(input)));
        expect([out.dtype, out.requiresGrad]).toEqual(['float16', true]);
        out.float().sum().backward();
        return [w.grad!.dataSync(), input.grad!.dataSync()];
      };
      expect(gradients(h => autograd.checkpoint(block, h))).toEqual(gradients(block));
    },
  },
  {
    id: '31',
    title: 'a weight is cast once a scope, also when backward runs inside it',
    run: async () => {
      const w = weight();
      const input = x().to('bfloat16');
      expect(
        await casts(() => {
          F.linear(input, w).float().sum().backward();
          autocast({ enabled: false }, () => {});
          F.linear(input, w);
        }),
      ).toBe(1);
    },
  },
  {
    id: '32',
    title: 'with the cache off a weight is cast at each use',
    run: async () => {
      const [w, input] = [weight(), x().to('bfloat16')];
      expect(await casts(() => autocast({ cacheEnabled: false }, () => [F.linear(input, w), F.linear(input, w)]))).toBe(
        2,
      );
    },
  },
  {
    id: '33',
    title: 'clearing the cache makes the next use cast anew',
    run: async () => {
      const [w, input] = [weight(), x().to('bfloat16')];
      expect(
        await casts(() => {
          F.linear(input, w);
          clearAutocastCache();
          F.linear(input, w);
        }),
      ).toBe(2);
    },
  },
  {
    id: '34',
    title: 'backward inside the scope works in the dtypes of forward',
    run: () => {
      autocast({ dtype: 'bfloat16' }, () => {
        const target = randn([3, 4]).to('bfloat16').requiresGrad_();
        const values = randn([1, 4]).to('bfloat16').requiresGrad_();
        target
          .scatterAdd(0, ones([1, 4]).long(), values)
          .sum()
          .backward();
        expect([target.grad!.dtype, values.grad!.dtype]).toEqual(['bfloat16', 'bfloat16']);
      });
    },
  },
  {
    id: '35',
    title: 'unless told, float16 on cuda and bfloat16 on a cpu',
    run: () => {
      const unless = (device: 'cpu' | 'cuda'): unknown => autocast({ device }, () => autocastDtype(device));
      expect([unless('cpu'), autocast.current('cpu').dtype]).toEqual(['bfloat16', 'bfloat16']);
      expect(autocast.current('cuda').dtype).toBe('float16');
      if (isAvailable('cuda')) expect(unless('cuda')).toBe('float16');
      else expect(() => unless('cuda')).toThrow(DeviceError);
    },
  },
  {
    id: '36',
    title: 'a first use under noGrad does not cost a later one its gradient',
    run: () => {
      const [model, input] = [new nn.Linear(8, 8), x()];
      autocast({ dtype: 'bfloat16' }, () => {
        noGrad(() => model.forward(input));
        const out = model.forward(input) as Tensor;
        expect([out.requiresGrad, out.gradFn]).toEqual([true, 'LinearBackward']);
        out.float().sum().backward();
      });
      for (const p of model.parameters()) expect(p.grad!.abs().sum().itemSync()).toBeGreaterThan(0);
    },
  },
  {
    id: '37',
    title: 'noGrad inside a scope: low dtype, no history; gradients work afterwards',
    run: () => {
      const [w, input] = [weight(), x()];
      autocast({ dtype: 'bfloat16' }, () => {
        const quiet = noGrad(() => F.linear(input, w));
        expect([quiet.dtype, quiet.requiresGrad]).toEqual(['bfloat16', false]);
        F.linear(input, w).float().sum().backward();
      });
      expect(w.grad!.dtype).toBe('float32');
    },
  },
  {
    id: '38',
    title: 'a scope inside noGrad: the same dtypes, no history',
    run: () => {
      const out = noGrad(() => autocast({ dtype: 'bfloat16' }, () => F.linear(x(), weight())));
      expect([out.dtype, out.requiresGrad]).toEqual(['bfloat16', false]);
    },
  },
  {
    id: '39',
    title: 'several backward passes through one cached copy',
    run: () => {
      const [w, input] = [weight(), x()];
      autocast({ dtype: 'bfloat16' }, () => {
        const gradients: unknown[] = [];
        for (let i = 0; i < 3; i++) {
          const loss = F.linear(input, w).float().sum();
          loss.backward(undefined, { retainGraph: true });
          loss.backward();
          gradients.push(w.grad!.dataSync());
          w.grad = null;
        }
        expect(gradients[1]).toEqual(gradients[0]);
        expect(gradients[2]).toEqual(gradients[0]);
      });
    },
  },
  {
    id: '40',
    title: 'noGrad and grad in turn: flags are right and one backward takes all',
    run: () => {
      const [w, input] = [weight(), x()];
      const run = (): Tensor => F.linear(input, w).float().sum();
      autocast({ dtype: 'bfloat16' }, () => {
        const losses = [noGrad(run), run(), noGrad(run), run()];
        expect(losses.map(loss => loss.requiresGrad)).toEqual([false, true, false, true]);
        losses[1]!.add(losses[3]!).backward();
      });
      const both = w.grad!.dataSync();
      w.grad = null;
      autocast({ dtype: 'bfloat16' }, () => run().mul(2).backward());
      expect(both).toEqual(w.grad!.dataSync());
    },
  },
  {
    id: '41',
    title: 'a device that does not exist is an error, also in the question whether autocast is on',
    run: () => {
      expect(() => autocast({ device: 'tpu' as never }, () => 0)).toThrow(DeviceError);
      expect(() => isAutocastEnabled('tpu' as never)).toThrow(DeviceError);
    },
  },
  {
    id: '42',
    title: 'a device that is no name is an error that shows it',
    run: () => expect(() => autocast({ device: { type: 'cpu' } as never }, () => 0)).toThrow(DeviceError),
  },
  {
    id: '43',
    title: 'what is no function cannot be wrapped, decorated or run',
    run: () => {
      for (const wrong of [3, null, {}]) {
        expect(() => autocast.wrap(wrong as never)).toThrow(AutocastError);
        expect(() => autocast({}, wrong as never)).toThrow(AutocastError);
        expect(() => autocast.method()(wrong as never, {} as never)).toThrow(AutocastError);
      }
    },
  },
  {
    id: '44',
    title: 'a dtype that is not 16 bits wide is an error that lists the two that are',
    run: () => {
      for (const dtype of ['float32', 'float64', 'int32', 'half'])
        expect(() => autocast({ dtype: dtype as never }, () => 0)).toThrow(/'float16', 'bfloat16'/);
    },
  },
  {
    id: '45',
    title: 'bfloat16 products wherever autocast runs',
    run: () => expect(autocast({ dtype: 'bfloat16' }, () => x().matmul(weight())).dtype).toBe('bfloat16'),
  },
];
