import { expect, spyOn } from 'bun:test';
import {
  autocast,
  autocastDtype,
  F,
  full,
  GradScaler,
  graph,
  isAutocastEnabled,
  isAvailable,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  tensor,
  zeros,
  autograd,
  type GradScalerOptions,
  type Tensor,
} from 'castor';
import { native } from '../../runtime/ffi/library.ts';
import { multiUnscale, updateScale } from '../../runtime/dispatch/multi.ts';
import { lossOf, OWN_OPTIMIZERS, problem, SHARED_SCALER, valuesOf, type Case } from './case.ts';

const floats = ['float32', 'float16', 'bfloat16', 'float64'] as const;
const one = (value: number): Tensor => tensor(value);

/** Gradients of 4s: contiguous, transposed and sliced. */
const layouts = (dtype: (typeof floats)[number] = 'float32'): Tensor[] => [
  full([10, 10], 4, { dtype }),
  full([10, 10], 4, { dtype }).T,
  full([10, 20], 4, { dtype }).at(':, ::2'),
];
function unscaled(grads: readonly Tensor[], inverse = 0.25): number {
  const found = one(0);
  multiUnscale(grads, one(inverse), found);
  return found.itemSync();
}

type Make = (params: Iterable<Tensor>) => optim.SGD | optim.Adam | optim.AdamW;
const optimizers: Record<string, Make> = {
  SGD: params => new optim.SGD(params, { lr: 0.1, momentum: 0.5 }),
  Adam: params => new optim.Adam(params, { lr: 0.01 }),
  AdamW: params => new optim.AdamW(params, { lr: 0.01, amsgrad: true }),
};

interface Trained {
  values: number[];
  /** The last gradients, and the state of the optimizer. */
  grads: number[];
  state: number[];
  losses: number[];
  scale: number;
  scales: number[];
}
interface Loop {
  make: Make;
  scaler?: GradScalerOptions | null;
  /** Batches whose gradients get an infinity. */
  inject?: readonly number[];
  before?: (scaler: GradScaler, optimizer: optim.SGD, model: nn.Module) => void;
  low?: boolean;
  /** After each iteration a new scaler continues from the saved state of the old one. */
  saved?: boolean;
}
const numbers = (tensors: Iterable<Tensor>): number[] => [...tensors].flatMap(t => [...(t.dataSync() as Float32Array)]);

/** Trains on four batches, some with an injected infinity. Without a scaler these batches are left out. */
function train({ make, scaler: options = null, inject = [2], before, low = false, saved = false }: Loop): Trained {
  const { model, batches } = problem();
  const optimizer = make(model.parameters());
  let scaler = options === null ? null : new GradScaler(options);
  const losses: number[] = [];
  const scales: number[] = [];
  batches.forEach((batch, i) => {
    optimizer.zeroGrad();
    const forward = (): Tensor => lossOf(model, batch);
    const loss = low ? autocast({ dtype: 'float16' }, forward) : forward();
    losses.push(loss.itemSync());
    if (scaler === null) {
      if (inject.includes(i)) return;
      loss.backward();
      optimizer.step();
      return;
    }
    scaler.scale(loss).backward();
    if (scaler.enabled && inject.includes(i)) noGrad(() => [...model.parameters()][1]!.grad!.at(0).fill_(Infinity));
    before?.(scaler, optimizer as optim.SGD, model);
    if (scaler.enabled || !inject.includes(i)) scaler.step(optimizer);
    scaler.update();
    scales.push(scaler.getScaleSync());
    if (saved) {
      const state = JSON.stringify(scaler.stateDict());
      scaler = new GradScaler();
      scaler.loadStateDict(JSON.parse(state));
    }
  });
  const params = [...model.parameters()];
  return {
    values: valuesOf(model),
    grads: numbers(params.map(p => p.grad!)),
    state: numbers(optimizer.stateDict().state.flatMap(own => Object.values(own!))),
    losses,
    scale: scales.at(-1) ?? 1,
    scales,
  };
}
const small = { initScale: 128, growthFactor: 2, backoffFactor: 0.5, growthInterval: 1 } as const;
const close = (a: readonly number[], b: readonly number[], tolerance = 1e-5): void => {
  expect(a.length).toBe(b.length);
  a.forEach((value, i) => expect(Math.abs(value - b[i]!)).toBeLessThanOrEqual(tolerance * (1 + Math.abs(b[i]!))));
};

/** Compares with the control: parameters, gradients, the state of the optimizer. */
const alike = (a: Trained, b: Trained, tolerance?: number): void => {
  for (const what of ['values', 'grads', 'state'] as const) close(a[what], b[what], tolerance);
};

/** One parameter whose gradient is set by hand. */
function single(options: GradScalerOptions = {}): { scaler: GradScaler; w: Tensor; optimizer: optim.SGD } {
  const scaler = new GradScaler({ initScale: 4, ...options });
  const w = nn.Parameter(ones([2]));
  scaler.scale(tensor(1));
  return { scaler, w, optimizer: new optim.SGD([w], { lr: 0.5 }) };
}

/** Cases 46 to 56: the kernels and the state. */
const parts: readonly Case[] = [
  {
    id: '46',
    title: 'unscaling 4 by a quarter gives 1 and finds nothing, in every layout, alone and together',
    run: () => {
      for (const dtype of floats) {
        const all = [...layouts(dtype).map(g => [g]), layouts(dtype)];
        for (const grads of all) {
          expect(unscaled(grads)).toBe(0);
          for (const g of grads) expect(g.eq(1).all().itemSync()).toBe(1);
        }
      }
    },
  },
  {
    id: '47',
    title: 'one infinity or NaN is found in whichever tensor it stands',
    run: () => {
      for (const bad of [Infinity, -Infinity, NaN])
        for (let place = 0; place < 3; place++) {
          const grads = layouts();
          grads[place]!.at(7, 3).fill_(bad);
          expect(unscaled(grads)).toBe(1);
          expect(grads[(place + 1) % 3]!.eq(1).all().itemSync()).toBe(1);
        }
    },
  },
  {
    id: '48',
    title: 'dtypes may be mixed in one list',
    run: () => expect(unscaled(floats.flatMap(dtype => layouts(dtype)))).toBe(0),
  },
  {
    id: '49',
    title: 'gradients of several devices',
    reason: SHARED_SCALER,
  },
  {
    id: '50',
    title: 'an infinity is found in each of several dtypes and layouts in turn, and none where there is none',
    run: () => {
      const grads = (): Tensor[] => [layouts()[0]!, layouts()[2]!, ...layouts('float16').slice(0, 2)];
      expect(unscaled(grads())).toBe(0);
      for (let i = 0; i < 4; i++) {
        const list = grads();
        list[i]!.at(1, 1).fill_(Infinity);
        expect(unscaled(list)).toBe(1);
      }
    },
  },
  {
    id: '51',
    title: 'the scale: 4, then 4 (tracker 1), 8 (tracker 0), and 2 after an overflow',
    run: () => {
      const [scale, tracker] = [one(4), tensor(0, { dtype: 'int32' })];
      const rule = { growthFactor: 2, backoffFactor: 0.25, growthInterval: 2, minScale: 2 ** -20, maxScale: 2 ** 20 };
      const states = [0, 0, 1].map(found => {
        updateScale(scale, tracker, one(found), rule);
        return [tracker.itemSync(), scale.itemSync()];
      });
      expect(states).toEqual([
        [1, 4],
        [0, 8],
        [0, 2],
      ]);
    },
  },
  ...['52', '53', '54'].map(id => ({ id, title: 'sparse gradients', reason: 'Castor has no sparse tensors' })),
  {
    id: '55',
    title: 'the state goes round, before and after the first scale()',
    run: () => {
      for (const used of [false, true]) {
        const state = {
          scale: 2,
          growthTracker: 3,
          growthFactor: 3,
          backoffFactor: 0.5,
          growthInterval: 7,
          skippedSteps: 0,
        };
        const scaler = new GradScaler();
        if (used) scaler.scale(tensor(1));
        scaler.loadStateDict(state);
        expect(scaler.stateDict()).toEqual(state);
      }
    },
  },
  {
    id: '56',
    title: 'the state survives JSON, and the copy scales as the original',
    run: () => {
      const { scaler } = single({ initScale: 8 });
      const copy = new GradScaler();
      copy.loadStateDict(JSON.parse(JSON.stringify(scaler.stateDict())));
      expect(copy.scale(tensor(3)).itemSync()).toBe(24);
    },
  },
];

/** Cases 57 to 65: whole training loops, compared with a loop without scaler. */
const loops: readonly Case[] = [
  {
    id: '57',
    title:
      'four batches with an infinity in the third equal a control that leaves it out, also with a scaler saved and loaded ' +
      'in each; the scale is 128 * 2^3 / 2',
    run: () => {
      for (const make of Object.values(optimizers)) {
        const [scaled, control] = [train({ make, scaler: small }), train({ make })];
        alike(scaled, control);
        expect(scaled.scales).toEqual([256, 512, 256, 512]);
        expect(train({ make, scaler: small, saved: true })).toEqual(scaled);
        const { values, grads, state, scale } = train({ make, scaler: { ...small, enabled: false } });
        expect([values, grads, state, scale]).toEqual([control.values, control.grads, control.state, 1]);
        alike(train({ make, scaler: small, low: true }), control, 0.03);
      }
    },
  },
  {
    id: '58',
    title: 'the same for every optimizer; unscaling and step are one native call each for all parameters',
    run: () => {
      for (const [name, make] of Object.entries(optimizers)) {
        const calls = (['unscale', 'sgd', 'adam'] as const).map(own => spyOn(native, `castor_multi_${own}`));
        const scaled = train({ make, scaler: small, inject: [0, 1] });
        expect(calls.map(call => call.mock.calls.length)).toEqual(name === 'SGD' ? [4, 4, 0] : [4, 0, 4]);
        for (const call of calls) call.mockRestore();
        alike(scaled, train({ make, inject: [0, 1] }));
      }
    },
  },
  {
    id: '59',
    title: 'with and without an explicit unscale() the same bits, in gradients and state too',
    run: () => {
      for (const make of Object.values(optimizers))
        expect(train({ make, scaler: small, before: (scaler, optimizer) => scaler.unscale(optimizer) })).toEqual(
          train({ make, scaler: small }),
        );
    },
  },
  {
    id: '60',
    title: 'a gradient broken between unscale() and step() is applied',
    run: () => {
      for (const make of Object.values(optimizers)) {
        const { scaler, w } = single();
        const optimizer = make([w]);
        w.grad = ones([2]);
        scaler.unscale(optimizer);
        noGrad(() => w.grad!.fill_(Infinity));
        scaler.step(optimizer);
        expect(w.isFinite().any().itemSync()).toBe(0);
      }
    },
  },
  {
    id: '61',
    title: 'the scale never grows to infinity',
    run: () => {
      const { scaler, w, optimizer } = single({
        initScale: 2 ** 120,
        maxScale: 2 ** 125,
        growthFactor: 16,
        growthInterval: 1,
      });
      for (let i = 0; i < 4; i++) {
        w.grad = full([2], 0);
        scaler.step(optimizer);
        scaler.update();
      }
      expect(scaler.getScaleSync()).toBe(2 ** 125);
    },
  },
  {
    id: '62',
    title: 'clipping scaled gradients to maxNorm times the scale equals clipping plain ones',
    run: () => {
      const clipped = train({
        make: optimizers.SGD!,
        scaler: small,
        inject: [],
        before: (scaler, _, model) => void nn.clipGradNorm(model.parameters(), 0.1 * scaler.getScaleSync()),
      });
      const control = train({
        make: optimizers.SGD!,
        scaler: { enabled: false },
        inject: [],
        before: (_, __, model) => void nn.clipGradNorm(model.parameters(), 0.1),
      });
      close(clipped.values, control.values, 1e-4);
    },
  },
  {
    id: '63',
    title: 'clipping after unscale() equals clipping plain gradients, and overflows are still skipped',
    run: () => {
      const clip = (scaler: GradScaler, optimizer: optim.SGD, model: nn.Module): void => {
        scaler.unscale(optimizer);
        nn.clipGradNorm(model.parameters(), 0.1);
      };
      const clipped = train({ make: optimizers.SGD!, scaler: small, before: clip });
      close(
        clipped.values,
        train({ make: optimizers.SGD!, scaler: { ...small, enabled: false }, before: clip }).values,
        1e-4,
      );
      expect(clipped.scale).toBe(512);
    },
  },
  {
    id: '64',
    title: 'a gradient penalty through scaled gradients equals one through plain gradients, also under autocast',
    run: () => {
      const penalised = (options: GradScalerOptions, enabled = false): number[] => {
        const low = <T>(fn: () => T): T => autocast({ dtype: 'float16', enabled }, fn);
        const { model, batches } = problem();
        const optimizer = optimizers.SGD!(model.parameters());
        const scaler = new GradScaler(options);
        for (const batch of batches) {
          optimizer.zeroGrad();
          const params = [...model.parameters()];
          const loss = low(() => lossOf(model, batch));
          const scaled = autograd.grad(scaler.scale(loss), params, { createGraph: true });
          const total = low(() => {
            const squares = scaled.map(g => g.div(scaler.getScaleSync()).square().sum());
            return loss.add(squares.reduce((a, b) => a.add(b)).sqrt());
          });
          scaler.scale(total).backward();
          scaler.step(optimizer);
          scaler.update();
        }
        return valuesOf(model);
      };
      const control = penalised({ enabled: false });
      close(penalised(small), control, 1e-4);
      close(penalised(small, true), control, 0.03);
    },
  },
  {
    id: '65',
    title: 'gradients accumulated over two batches: two updates, no skip',
    run: async () => {
      const accumulated = async (options: GradScalerOptions): Promise<[number[], number]> => {
        const { model, batches } = problem();
        const optimizer = optimizers.SGD!(model.parameters());
        const scaler = new GradScaler(options);
        batches.forEach((batch, i) => {
          scaler.scale(lossOf(model, batch).div(2)).backward();
          if (i % 2 === 0) return;
          scaler.step(optimizer);
          scaler.update();
          optimizer.zeroGrad();
        });
        expect(await scaler.skippedSteps()).toBe(0);
        return [valuesOf(model), scaler.getScaleSync()];
      };
      const [values, scale] = await accumulated(small);
      close(values, (await accumulated({ enabled: false }))[0]);
      expect(scale).toBe(512);
    },
  },
];

/** Cases 66 to 74: several optimizers, containers, and what PyTorch has for devices and graphs. */
const rest: readonly Case[] = [
  {
    id: '66',
    title: 'two models, two losses: only the optimizer with the infinity skips; the shared scale backs off once',
    run: async () => {
      const [a, b] = [problem(1), problem(2)];
      const both = [optimizers.SGD!(a.model.parameters()), optimizers.Adam!(b.model.parameters())] as const;
      const scaler = new GradScaler(small);
      const skips: boolean[][] = [];
      for (let i = 0; i < 4; i++) {
        both.forEach(optimizer => optimizer.zeroGrad());
        const losses = scaler.scale([lossOf(a.model, a.batches[i]!), lossOf(b.model, b.batches[i]!)]);
        losses.forEach(loss => loss.backward());
        if (i === 1) noGrad(() => [...a.model.parameters()][0]!.grad!.fill_(NaN));
        skips.push(await Promise.all(both.map(optimizer => scaler.step(optimizer).skipped)));
        scaler.update();
      }
      expect(skips).toEqual([
        [false, false],
        [true, false],
        [false, false],
        [false, false],
      ]);
      expect(scaler.getScaleSync()).toBe((128 * 2 ** 3) / 2);
    },
  },
  { id: '67', title: 'the same on two GPUs', reason: OWN_OPTIMIZERS },
  {
    id: '68',
    title: 'a device is one key however it is spelt',
    run: () => {
      const gpu = isAvailable('cuda') ? (['cuda', 'cuda:0'] as const) : [];
      const pairs = [['cpu', 'cpu'] as const, ...gpu.flatMap(own => gpu.map(other => [own, other] as const))];
      for (const [own, device] of pairs) {
        expect(memory.stats(own).device).toBe(memory.stats(device).device);
        autocast({ device: own, dtype: 'bfloat16' }, () => expect(autocastDtype(device)).toBe('bfloat16'));
        const scaler = new GradScaler({ device: own, initScale: 4 });
        const w = nn.Parameter(ones([2], { device }));
        scaler.scale(w.sum()).backward();
        scaler.step(new optim.SGD([w], { lr: 1 }));
        scaler.update(tensor(8, { device }));
        expect([w.toArraySync(), scaler.getScaleSync()]).toEqual([[0, 0], 8]);
      }
      expect(isAutocastEnabled('cuda:0')).toBe(isAutocastEnabled('cuda'));
    },
  },
  {
    id: '69',
    title: 'losses in nested containers are all scaled, the containers kept',
    run: () => {
      const scaler = new GradScaler({ initScale: 2 });
      const scaled = scaler.scale({ a: [tensor(1), [tensor(2)]], b: new Map([['c', tensor(3)]]) } as const);
      expect([scaled.a[0].itemSync(), scaled.a[1][0].itemSync(), scaled.b.get('c')!.itemSync()]).toEqual([2, 4, 6]);
    },
  },
  {
    id: '70',
    title: 'an optimizer that takes found-inf gets it on the device; any other is decided on the host',
    run: async () => {
      const { scaler, w } = single();
      const told: number[] = [];
      w.grad = ones([2]);
      scaler.step({
        parameters: () => [w],
        step: () => told.push(-1),
        stepUnless: found => told.push(found.itemSync()),
      });
      scaler.update();
      await scaler.step({ parameters: () => [w], step: () => told.push(2) });
      expect(told).toEqual([0, 2]);
    },
  },
  { id: '71', title: 'the old scaler classes warn', reason: 'Castor has no old classes' },
  {
    id: '72',
    title: 'inputs 5, 20000, 5, 40000 in float16: scales 4, 2, 2, 1 and gradients 20, inf, 10, inf',
    run: () => {
      const scaler = new GradScaler({ initScale: 4, growthInterval: 2 });
      const w = nn.Parameter(tensor([1]));
      const optimizer = new optim.SGD([w], { lr: 0 });
      const seen = [5, 20000, 5, 40000].map(value => {
        optimizer.zeroGrad();
        const input = tensor([value], { dtype: 'float16' });
        scaler.scale(w.half().mul(input).sum()).backward();
        const gradient = w.grad!.itemSync();
        scaler.step(optimizer);
        scaler.update();
        return [gradient, scaler.getScaleSync(), scaler.stateDict()!.growthTracker];
      });
      expect(seen).toEqual([
        [20, 4, 1],
        [Infinity, 2, 0],
        [10, 2, 1],
        [Infinity, 1, 0],
      ]);
    },
  },
  {
    id: '73',
    title: 'a captured step and update equal eager ones',
    run: () => {
      for (const make of Object.values(optimizers)) {
        const trained = (captured: boolean): unknown => {
          const { model, batches } = problem();
          const optimizer = make(model.parameters());
          const scaler = new GradScaler(small);
          const [x, y] = [zeros([8, 8]), zeros([8, 8])];
          const step = (): void => {
            optimizer.zeroGrad();
            scaler.scale(lossOf(model, { x, y })).backward();
            scaler.step(optimizer);
            scaler.update();
          };
          let next = step;
          return batches.map((batch, i) => {
            x.copy_(batch.x.mul(i === 2 ? Infinity : 1));
            y.copy_(batch.y);
            next();
            if (captured && i === 0) {
              const recorded = graph.capture(step, { warmup: 0 });
              next = () => recorded.replay();
            }
            return [valuesOf(model), scaler.stateDict()];
          });
        };
        expect(trained(true)).toEqual(trained(false));
      }
    },
  },
  {
    id: '74',
    title: 'a skipped step changes no parameter and leaves the step count at 0',
    run: () => {
      for (const make of Object.values(optimizers)) {
        const { scaler, w } = single();
        const optimizer = make([w]);
        w.grad = tensor([Infinity, 1]);
        scaler.step(optimizer);
        expect(w.toArraySync()).toEqual([1, 1]);
        expect(optimizer.stateDict().state[0]!.step!.itemSync()).toBe(0);
      }
    },
  },
];

export const scaler: readonly Case[] = [...parts, ...loops, ...rest];
