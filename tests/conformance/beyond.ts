import { expect } from 'bun:test';
import {
  autocast,
  autocastDtype,
  F,
  full,
  GradScaler,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  ScalerError,
  tensor,
  type Tensor,
} from 'castor';
import { make, SHARED_SCALER, type Case } from './case.ts';

const low = { dtype: 'bfloat16' } as const;
const product = (): string => ones([1, 1]).matmul(ones([1, 1])).dtype;

/** E1 to E16: cases in which PyTorch is known to be wrong. */
export const beyond: readonly Case[] = [
  {
    id: 'E1',
    title: 'one options object entered twice, and a recursive function, leave nothing behind (PyTorch stays on)',
    run: () => {
      autocast(low, () => autocast(low, () => expect(product()).toBe('bfloat16')));
      const recursive = autocast.wrap((n: number): string => (n === 0 ? product() : recursive(n - 1)), low);
      expect(recursive(3)).toBe('bfloat16');
      class Net {
        @autocast.method(low)
        forward(n: number): string {
          return n === 0 ? product() : this.forward(n - 1);
        }
      }
      expect(new Net().forward(2)).toBe('bfloat16');
      expect([autocastDtype(), product()]).toEqual([null, 'float32']);
    },
  },
  {
    id: 'E2',
    title: 'a weight updated inside the scope is used as updated (PyTorch uses the old copy)',
    run: () => {
      const w = nn.Parameter(ones([1, 1]));
      autocast(low, () => {
        const before = F.linear(ones([1, 1]), w).itemSync();
        noGrad(() => w.fill_(3));
        expect([before, F.linear(ones([1, 1]), w).itemSync(), w.T.matmul(ones([1, 1])).itemSync()]).toEqual([1, 3, 3]);
      });
    },
  },
  {
    id: 'E3',
    title: 'two low dtypes in one outermost scope never mix (PyTorch may hand out the other copy)',
    run: () => {
      const w = nn.Parameter(ones([1, 1]));
      autocast(low, () => {
        const run = (): string => F.linear(ones([1, 1]), w).dtype;
        expect([run(), autocast({ dtype: 'float16' }, run), run()]).toEqual(['bfloat16', 'float16', 'bfloat16']);
      });
    },
  },
  {
    id: 'E4',
    title: 'gradients of a weight used nine times are summed in float32: 264, not 256',
    run: () => {
      const w = nn.Parameter(ones([1, 1]));
      autocast(low, () => {
        const uses = [256, ...Array<number>(8).fill(1)].map(x =>
          F.linear(full([1, 1], x), w)
            .float()
            .sum(),
        );
        uses.reduce((a, b) => a.add(b)).backward();
      });
      expect(w.grad!.itemSync()).toBe(264);
    },
  },
  {
    id: 'E5',
    title: 'promotion does not depend on the order of the operands, also of two 16-bit dtypes (PyTorch raises)',
    run: () => {
      autocast(low, () => {
        const dtypes = ['float16', 'bfloat16', 'float32'] as const;
        for (const a of dtypes)
          for (const b of dtypes) {
            const [ab, ba] = [make(a)(4).atan2(make(b)(4)), make(b)(4).atan2(make(a)(4))];
            expect(ab.dtype).toBe(ba.dtype);
            expect(ab.dtype).toBe(a === 'bfloat16' && b === 'bfloat16' ? 'bfloat16' : 'float32');
          }
      });
    },
  },
  {
    id: 'E6',
    title: 'operands that may be left out count as any other (PyTorch ignores a float32 bias)',
    run: () => {
      const wide = autocast({ ...low, overrides: { linear: 'promote' } }, () =>
        F.linear(make('bfloat16')(2, 4), make('bfloat16')(3, 4), make('float32')(3)),
      );
      const narrow = autocast({ ...low, overrides: { linear: 'promote' } }, () =>
        F.linear(make('bfloat16')(2, 4), make('bfloat16')(3, 4)),
      );
      expect([wide.dtype, narrow.dtype]).toEqual(['float32', 'bfloat16']);
    },
  },
  {
    id: 'E7',
    title: 'a growth interval lowered below the tracker still grows the scale (PyTorch: never again)',
    run: () => {
      const scaler = new GradScaler({ initScale: 4, growthInterval: 100 });
      const w = nn.Parameter(ones([1]));
      const optimizer = new optim.SGD([w], { lr: 0 });
      const iterate = (): void => {
        w.grad = ones([1]);
        scaler.step(optimizer);
        scaler.update();
      };
      scaler.scale(tensor(1));
      for (let i = 0; i < 5; i++) iterate();
      scaler.growthInterval = 3;
      iterate();
      expect(scaler.getScaleSync()).toBe(8);
    },
  },
  {
    id: 'E8',
    title:
      'the scale never reaches a value without a finite inverse, and no NaN is ever applied (PyTorch: both happen)',
    run: () => {
      const scaler = new GradScaler({ initScale: 2 ** -10, minScale: 2 ** -14 });
      const w = nn.Parameter(ones([1]));
      const optimizer = new optim.SGD([w], { lr: 1 });
      scaler.scale(tensor(1));
      for (let i = 0; i < 200; i++) {
        w.grad = full([1], i % 2 ? NaN : Infinity);
        scaler.step(optimizer);
        scaler.update();
      }
      expect([scaler.getScaleSync(), w.itemSync()]).toEqual([2 ** -14, 1]);
      for (const scale of [0, -1, NaN, Infinity, 2 ** -140])
        expect(() => scaler.update(scale)).toThrow(/is not a number from .*the bounds of this scaler/);
    },
  },
  {
    id: 'E9',
    title: 'overflows on two devices at once are one skip (PyTorch misses them)',
    reason: SHARED_SCALER,
  },
  {
    id: 'E10',
    title: 'an overflow that the unscaling itself makes is found (PyTorch looks only before)',
    run: async () => {
      const scaler = new GradScaler({ initScale: 2 ** -10 });
      const w = nn.Parameter(ones([1]));
      scaler.scale(tensor(1));
      w.grad = full([1], 3e38);
      expect(await scaler.step(new optim.SGD([w], { lr: 1 })).skipped).toBe(true);
      expect(w.itemSync()).toBe(1);
    },
  },
  {
    id: 'E11',
    title: 'a step tells whether it was skipped; an optimizer without gradients is an applied no-op',
    run: async () => {
      const told: number[] = [];
      const scaler = new GradScaler({ initScale: 4, onSkip: skip => told.push(skip.iteration) });
      const w = nn.Parameter(ones([1]));
      const optimizer = new optim.SGD([w], { lr: 1 });
      scaler.scale(tensor(1));
      const skips: boolean[] = [];
      for (const gradient of [null, Infinity, 4]) {
        w.grad = gradient === null ? null : full([1], gradient);
        skips.push(await scaler.step(optimizer).skipped);
        scaler.update();
      }
      expect(skips).toEqual([false, true, false]);
      expect([told, await scaler.skippedSteps()]).toEqual([[1], 1]);
    },
  },
  {
    id: 'E12',
    title: 'scaling a 16-bit tensor with axes does not overflow (PyTorch: inf)',
    run: () => {
      const scaled = new GradScaler().scale(full([2], 3, { dtype: 'float16' }));
      expect([scaled.dtype, ...scaled.dataSync()]).toEqual(['float32', 196608, 196608]);
    },
  },
  {
    id: 'E13',
    title: 'everything is as before after a throw and after a rejection',
    run: async () => {
      const oops = (): never => {
        throw new Error('oops');
      };
      expect(() => autocast(low, oops)).toThrow('oops');
      expect(autocast.current().enabled).toBe(false);
      await expect(
        autocast({ ...low, overrides: { softmax: 'input' }, cacheEnabled: false }, async () => {
          await Bun.sleep(1);
          oops();
        }),
      ).rejects.toThrow('oops');
      const { enabled, overrides, cacheEnabled } = autocast.current();
      expect({ enabled, overrides, cacheEnabled }).toEqual({ enabled: false, overrides: {}, cacheEnabled: true });
      expect(product()).toBe('float32');
    },
  },
  {
    id: 'E14',
    title: 'interleaved async tasks do not see each other',
    run: async () => {
      const task = async (dtype: 'float16' | 'bfloat16' | null): Promise<string> => {
        const run = async (): Promise<string> => {
          await Bun.sleep(1);
          return product();
        };
        return dtype === null ? run() : autocast({ dtype }, run);
      };
      expect(await Promise.all([task('float16'), task(null), task('bfloat16'), task('float16')])).toEqual([
        'float16',
        'float32',
        'bfloat16',
        'float16',
      ]);
    },
  },
  {
    id: 'E15',
    title: 'a closure is refused wherever it is put (PyTorch: only as a keyword)',
    run: () => {
      const scaler = new GradScaler();
      const w = nn.Parameter(randn([1]));
      scaler.scale(w.sum()).backward();
      expect(() => scaler.step(new optim.SGD([w]), ...([(): Tensor => w.sum()] as never[]))).toThrow(ScalerError);
    },
  },
  {
    id: 'E16',
    title:
      'weight and bias gradients are the float32 sums of their products: of 100,000 rows of 1 100,000 (PyTorch: infinity)',
    run: () => {
      const layer = new nn.Linear(1, 1);
      autocast({ dtype: 'float16' }, () => layer.forward(ones([100_000, 1])).sum()).backward();
      expect([layer.weight.grad!.itemSync(), layer.bias!.grad!.itemSync()]).toEqual([100_000, 100_000]);
    },
  },
];
