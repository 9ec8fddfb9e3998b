/** Models whose parameters and buffers change their dtype or device in place: model.to(), half(), bfloat16(), float() and double(). */
import { describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  arange,
  autocast,
  AutogradError,
  DeviceError,
  DisposedError,
  DTypeError,
  F,
  fromShared,
  GradScaler,
  graph,
  GraphError,
  inferenceMode,
  isAvailable,
  memory,
  nn,
  noGrad,
  offload,
  ones,
  optim,
  OutOfMemoryError,
  randn,
  ScalerError,
  tensor,
  tidy,
  zeros,
  type Device,
  type FloatDType,
  type Tensor,
} from 'castor';
import { devices, tidyTest } from './setup.ts';

/** A model with everything that a model may have: tied weights, buffers of several dtypes, a frozen parameter, containers. */
class Model extends nn.Module {
  embed: nn.Embedding;
  norm: nn.LayerNorm;
  head: nn.Linear;
  batch: nn.BatchNorm2d;
  frozen: Tensor;
  parts: Map<string, nn.Module>;
  counts: Tensor;
  table: Tensor;
  constructor(device: Device) {
    super();
    this.embed = new nn.Embedding(6, 4, { device });
    this.norm = new nn.LayerNorm(4, { device });
    this.head = new nn.Linear(4, 6, { device });
    this.head.weight = this.embed.weight;
    this.batch = new nn.BatchNorm2d(2, { device });
    this.frozen = nn.Parameter(ones([2], { device }), { requiresGrad: false });
    this.parts = new Map([['a', new nn.RMSNorm(4, { device })]]);
    this.counts = nn.Buffer(arange(3, { dtype: 'int64', device }));
    this.table = nn.Buffer(ones([2], { dtype: 'float64', device }), { persistent: false });
  }
  forward(ids: Tensor): Tensor {
    return this.head.forward(this.parts.get('a')!.forward(this.norm.forward(this.embed.forward(ids))) as Tensor);
  }
}
const dtypesOf = (model: nn.Module): string[] => [...new Set([...model.namedTensors()].map(([, t]) => t.dtype))];

/** Each layer, and an input for it. */
const layers: Record<string, [make: (dtype: FloatDType, device: Device) => nn.Module, shape: number[]]> = {
  Linear: [(dtype, device) => new nn.Linear(8, 4, { dtype, device }), [3, 8]],
  Conv2d: [(dtype, device) => new nn.Conv2d(2, 4, 3, { dtype, device }), [2, 2, 5, 5]],
  BatchNorm2d: [(dtype, device) => new nn.BatchNorm2d(2, { dtype, device }), [2, 2, 3, 3]],
  LayerNorm: [(dtype, device) => new nn.LayerNorm(8, { dtype, device }), [3, 8]],
  RMSNorm: [(dtype, device) => new nn.RMSNorm(8, { dtype, device }), [3, 8]],
  Embedding: [(dtype, device) => new nn.Embedding(8, 4, { dtype, device }), [8]],
};

for (const device of devices)
  describe(`to() of a model on ${device}`, () => {
    // Every line as PyTorch 2.15 does it.
    tidyTest('converts floating parameters and buffers, and leaves integers and the objects as they are', () => {
      const model = new Model(device);
      const before = [...model.namedTensors()];
      const values = before.map(([, t]) => t.to('bfloat16').toArraySync());
      expect(model.to('bfloat16')).toBe(model);
      const after = [...model.namedTensors()];
      expect(after.map(([name]) => name)).toEqual(before.map(([name]) => name));
      for (const [i, [name, t]] of after.entries()) {
        expect(t).toBe(before[i]![1]);
        expect([name, t.dtype]).toEqual([name, name === 'counts' ? 'int64' : 'bfloat16']);
        expect(t.to('bfloat16').toArraySync()).toEqual(values[i]!);
        expect(t.disposed).toBe(false);
      }
      expect(model.head.weight).toBe(model.embed.weight);
      expect(model.frozen.requiresGrad).toBe(false);
      expect(model.embed.weight.requiresGrad).toBe(true);
      expect([model.frozen instanceof nn.Parameter, model.head.weight instanceof nn.Parameter]).toEqual([true, true]);
    });
    tidyTest('has a short form for each dtype', () => {
      const model = new nn.Linear(2, 2, { device });
      const seen = [model.bfloat16(), model.float(), model.half(), nn.Module.prototype.double.call(model)].map(m =>
        dtypesOf(m),
      );
      expect(seen).toEqual([['float64'], ['float64'], ['float64'], ['float64']].map(() => dtypesOf(model)));
      const each = (['bfloat16', 'float', 'half', 'double'] as const).map(name => dtypesOf(model[name]())[0]!);
      expect(each).toEqual(['bfloat16', 'float32', 'float16', 'float64']);
      expect(dtypesOf(model.to(device, 'bfloat16'))).toEqual(['bfloat16']);
      expect(dtypesOf(model.to({ dtype: 'float16', device }))).toEqual(['float16']);
      expect(dtypesOf(model.to(zeros([1], { device })))).toEqual(['float32']);
      expect(dtypesOf(model.to(device))).toEqual(['float32']);
      expect(() => model.to(zeros([1], { device, dtype: 'int64' }))).toThrow(/cannot become int64/);
      expect(dtypesOf(model.to({}))).toEqual(['float32']);
    });
    tidyTest('changes nothing where the dtype is the same already', () => {
      const model = new nn.Linear(2, 2, { device });
      const { storage, version } = model.weight;
      model.float().to({ dtype: 'float32', device });
      expect(model.weight.storage).toBe(storage);
      expect(model.weight.version).toBe(version);
    });
    tidyTest('converts gradients in place, and an optimizer made before keeps training', () => {
      const model = new Model(device);
      const optimizer = new optim.AdamW(model.parameters(), { lr: 0.1 });
      const ids = tensor([0n, 3n, 5n], { device });
      model.forward(ids).sum().backward();
      optimizer.step();
      const { grad } = model.embed.weight;
      const values = grad!.to('bfloat16').toArraySync();
      model.bfloat16();
      expect(model.embed.weight.grad).toBe(grad);
      expect(grad!.dtype).toBe('bfloat16');
      expect(grad!.toArraySync()).toEqual(values);
      optimizer.zeroGrad();
      const before = model.embed.weight.toArraySync();
      model.forward(ids).sum().backward();
      optimizer.step();
      expect(model.embed.weight.toArraySync()).not.toEqual(before);
      expect(model.embed.weight.dtype).toBe('bfloat16');
    });
    tidyTest('keeps hooks, and what removes them', () => {
      const model = new nn.Linear(2, 2, { device });
      const seen: string[] = [];
      const remove = model.weight.registerHook(g => void seen.push(g.dtype));
      model.half();
      const x = ones([1, 2], { device, dtype: 'float16' });
      model.forward(x).sum().backward();
      remove();
      model.forward(x).sum().backward();
      expect(seen).toEqual(['float16']);
    });
    tidyTest(
      'backward through a graph from before is an error where it needs the old values, and converts otherwise',
      () => {
        const model = new nn.Linear(2, 2, { device });
        const used = model.forward(ones([1, 2], { device, requiresGrad: true })).sum();
        const added = model.bias!.add(1).sum();
        model.half();
        expect(() => used.backward()).toThrow(AutogradError);
        added.backward();
        expect(model.bias!.grad!.dtype).toBe('float16');
        expect(model.bias!.grad!.toArraySync()).toEqual([1, 1]);
      },
    );
    tidyTest('detaches a gradient that has a graph', () => {
      const model = new nn.Linear(2, 1, { device, bias: false });
      model
        .forward(ones([1, 2], { device }))
        .pow(2)
        .sum()
        .backward(undefined, { createGraph: true });
      const { grad } = model.weight;
      expect(grad!.requiresGrad).toBe(true);
      model.double();
      expect([model.weight.grad!.dtype, model.weight.grad!.requiresGrad]).toEqual(['float64', false]);
      expect([grad!.dtype, grad!.disposed]).toEqual(['float32', false]);
    });

    test.each(Object.entries(layers))('%s computes in 16 bits what a layer made so computes', (_, [make, shape]) => {
      tidy(() => {
        for (const dtype of ['bfloat16', 'float16', 'float64'] as const) {
          const layer = make('float32', device);
          const own = make(dtype, device);
          own.loadStateDict(layer.stateDict());
          layer.to(dtype);
          const embeds = layer instanceof nn.Embedding;
          const x: Tensor = embeds ? arange(8, { dtype: 'int64', device }) : randn(shape, { device }).to(dtype);
          for (const train of [true, false]) {
            layer.train(train);
            own.train(train);
            const y = layer.forward(x) as Tensor;
            expect(y.dtype).toBe(dtype);
            expect(y.dataSync()).toEqual((own.forward(x) as Tensor).dataSync());
            const [z, w] = inferenceMode(() => [layer.forward(x) as Tensor, own.forward(x) as Tensor]);
            expect(z!.dtype).toBe(dtype);
            expect(z!.dataSync()).toEqual(w!.dataSync());
          }
          const optimizer = new optim.AdamW(layer.parameters(), { lr: 0.1 });
          layer.train();
          F.mseLoss(
            layer.forward(x) as Tensor,
            zeros([], { dtype, device }).expand((layer.forward(x) as Tensor).shape),
          ).backward();
          optimizer.step();
          for (const [name, t] of layer.namedTensors()) {
            expect([name, t.dtype]).toEqual([name, dtype]);
            expect(t.isFinite().all().itemSync()).toBe(1);
          }
        }
      });
    });

    tidyTest('the input has to have the dtype of the model, or autocast does it', () => {
      const model = new nn.Linear(2, 2, { device }).bfloat16();
      const x = ones([1, 2], { device });
      expect(() => model.forward(x)).toThrow(DTypeError);
      expect(() => model.forward(x)).toThrow(/operands have different dtypes: float32 and bfloat16/);
      const y = autocast({ dtype: 'bfloat16', device }, () => model.forward(x));
      expect(y.dataSync()).toEqual(model.forward(x.to('bfloat16')).dataSync());
    });
    tidyTest('a GradScaler refuses float16 gradients, as in PyTorch, and takes bfloat16', () => {
      const step = (model: nn.Linear): void => {
        const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
        const scaler = new GradScaler({ device });
        const x = ones([1, 2], { device, dtype: model.weight.dtype });
        scaler.scale(model.forward(x).to('float32').sum()).backward();
        scaler.step(optimizer);
        scaler.update();
      };
      expect(() => step(new nn.Linear(2, 2, { device }).half())).toThrow(ScalerError);
      step(new nn.Linear(2, 2, { device }).bfloat16());
    });
    tidyTest('a scaled gradient stays known as scaled', () => {
      const model = new nn.Linear(2, 2, { device });
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
      const scaler = new GradScaler({ device });
      scaler.scale(model.forward(ones([1, 2], { device })).sum()).backward();
      model.bfloat16();
      expect(() => optimizer.step()).toThrow(ScalerError);
      scaler.step(optimizer);
      scaler.update();
    });

    tidyTest('frees the memory from before, with the casts and panels of it, and views end', () => {
      const live = (): number => memory.stats(device).liveBytes;
      const before = live();
      const model = new nn.Linear(512, 512, { device, bias: false });
      const x = ones([1, 512], { device });
      const { weight } = model;
      const view = weight.detach();
      tidy(() =>
        inferenceMode(() => {
          model.forward(x);
          autocast({ dtype: 'bfloat16', device }, () => model.forward(x));
        }),
      );
      model.bfloat16();
      expect(live() - before).toBeLessThan(512 * 512 * 2 + 4 * 512 + 4096);
      expect(() => view.sum()).toThrow(DisposedError);
      weight.dispose();
    });
    tidyTest('leaves memory that the model only shows a part of', () => {
      const data = ones([4, 2], { device });
      class Part extends nn.Module {
        weight = nn.Parameter(data.narrow(0, 1, 2));
        forward(): void {}
      }
      const model = new Part();
      model.half();
      expect(data.sum().itemSync()).toBe(8);
      noGrad(() => model.weight.fill_(3));
      expect([data.sum().itemSync(), model.weight.sum().itemSync()]).toEqual([8, 12]);
      // Autocast finds its copy by the base of a view, and the parameter is none any more.
      expect(model.weight.base).toBe(null);
    });
    tidyTest('converts parameters that show one memory, whichever comes first', () => {
      const data = ones([4, 2], { device });
      const [whole, part] = [nn.Parameter(data), nn.Parameter(data.narrow(0, 1, 2))];
      const sum = (t: Tensor): number => tidy(() => t.sum().itemSync());
      class Both extends nn.Module {
        list: Tensor[];
        constructor(list: Tensor[]) {
          super();
          this.list = list;
        }
        forward(): void {}
      }
      const storages = memory.stats(device).liveStorages;
      new Both([whole, part]).half();
      expect([sum(whole), sum(part)]).toEqual([8, 4]);
      new Both([part, whole]).float();
      expect([sum(whole), sum(part)]).toEqual([8, 4]);
      expect(memory.stats(device).liveStorages).toBe(storages + 1);
    });
    tidyTest('keeps a model that can be trained, in inference mode and in a scope as elsewhere', () => {
      const model = new nn.Linear(2, 2, { device });
      inferenceMode(() => tidy(() => void model.bfloat16()));
      expect([model.weight.isInference, model.weight.requiresGrad, model.weight.disposed]).toEqual([
        false,
        true,
        false,
      ]);
      model
        .forward(ones([1, 2], { device, dtype: 'bfloat16' }))
        .sum()
        .backward();
      expect(model.weight.grad!.dtype).toBe('bfloat16');
    });
    tidyTest('makes normal tensors of a model of inference mode, outside of it', () => {
      const model = inferenceMode(() => new nn.Linear(2, 2, { device }));
      inferenceMode(() => model.double());
      expect(model.weight.isInference).toBe(true);
      model.float();
      expect([model.weight.isInference, model.weight.requiresGrad]).toEqual([false, true]);
      model
        .forward(ones([1, 2], { device }))
        .sum()
        .backward();
    });
    tidyTest('goes on where memory ran out', () => {
      const model = new nn.Sequential(new nn.Linear(512, 512, { device }), new nn.Linear(512, 512, { device }));
      memory.collect();
      memory.setLimit(memory.stats(device).liveBytes + 2.5e6, device);
      try {
        expect(() => model.double()).toThrow(OutOfMemoryError);
      } finally {
        memory.setLimit(0, device);
      }
      expect(dtypesOf(model)).toEqual(['float64', 'float32']);
      expect(dtypesOf(model.double())).toEqual(['float64']);
    });
    tidyTest('a shared model is converted into memory of its own', () => {
      const model = new nn.Linear(2, 2, { device, bias: false });
      const opened = fromShared(model.weight.share());
      const sum = opened.sum().itemSync();
      model.double();
      expect([model.weight.isShared, opened.sum().itemSync()]).toEqual([false, sum]);
      noGrad(() => model.weight.fill_(1));
      opened.dispose();
    });
    test('work that was offloaded before reads the values from before', async () => {
      const model = new nn.Linear(256, 256, { device, bias: false });
      const x = randn([64, 256], { device });
      const before = noGrad(() => model.forward(x));
      const pending = offload(() => noGrad(() => model.forward(x)));
      model.half();
      const after = await pending;
      expect(after.dtype).toBe('float32');
      expect(after).toBeAllclose(before);
      const inside = await offload(() => noGrad(() => model.float().forward(x)));
      expect(inside.dtype).toBe('float32');
      for (const t of [x, before, after, inside, model.weight]) t.dispose();
    });
    tidyTest('a captured graph does not survive it, and cannot do it', () => {
      const model = new nn.Linear(2, 2, { device });
      const x = ones([1, 2], { device });
      const captured = graph.capture(() => noGrad(() => model.forward(x)), { device });
      expect(() => graph.capture(() => model.half(), { device, warmup: 0 })).toThrow(GraphError);
      expect(model.weight.dtype).toBe('float32');
      model.half();
      expect(() => captured.replay()).toThrow(DisposedError);
      captured.dispose();
    });
    tidyTest('refuses what a model cannot become, before anything is changed', () => {
      const model = new nn.Linear(2, 2, { device });
      const wrong = model as unknown as { to(...args: unknown[]): void; half(...args: unknown[]): void };
      for (const dtype of ['int32', 'int64', 'uint8', 'bool']) {
        expect(() => wrong.to(dtype)).toThrow(DTypeError);
        expect(() => wrong.to({ dtype })).toThrow(/a model cannot become/);
        expect(() => wrong.to(device, dtype)).toThrow(DTypeError);
        expect(() => wrong.to(zeros([1], { dtype: dtype as 'int32' }))).toThrow(DTypeError);
      }
      expect(() => wrong.to('bfloat')).toThrow(DeviceError);
      expect(() => wrong.to(device, 'bfloat')).toThrow(DTypeError);
      expect(() => wrong.to('bfloat16', device)).toThrow(DTypeError);
      expect(() => wrong.to('bfloat16', 'float32')).toThrow(/Pass the device first/);
      expect(() => wrong.to({ dytpe: 'half' })).toThrow(/Did you mean 'dtype'/);
      for (const value of [undefined, null, 3, Symbol('s'), () => {}, []])
        expect(() => wrong.to(value)).toThrow(ArgumentError);
      expect(() => wrong.half('float32')).toThrow(/an argument too many/);
      expect(() => new Proxy(model, {}).half()).toThrow(ArgumentError);
      if (!isAvailable('cuda')) expect(() => wrong.to('cuda')).toThrow(DeviceError);
      expect(dtypesOf(model)).toEqual(['float32']);
    });
    tidyTest('refuses a model with a part that was freed, or that backward made, before anything is changed', () => {
      const gone = new nn.Sequential(new nn.Linear(2, 2, { device }), new nn.Linear(2, 2, { device }));
      (gone.layers[1] as nn.Linear).weight.dispose();
      expect(() => gone.half()).toThrow(DisposedError);
      expect((gone.layers[0] as nn.Linear).weight.dtype).toBe('float32');
      const recorded = new nn.BatchNorm2d(2, { device });
      recorded.runningMean = recorded.weight!.mul(2);
      expect(() => recorded.half()).toThrow(AutogradError);
      expect(recorded.weight!.dtype).toBe('float32');
    });
  });

test.skipIf(!isAvailable('cuda'))('to() moves a model between devices, with its gradients', () => {
  tidy(() => {
    const model = new Model('cpu');
    model
      .forward(tensor([0n, 3n], { device: 'cpu' }))
      .sum()
      .backward();
    const { grad } = model.embed.weight;
    const values = model.embed.weight.toArraySync();
    model.to('cuda');
    for (const [, t] of model.namedTensors()) expect(t.device).toBe('cuda:0');
    expect(model.device).toBe('cuda:0');
    expect([grad!.device, model.embed.weight.grad === grad]).toEqual(['cuda:0', true]);
    expect(model.embed.weight.toArraySync()).toEqual(values);
    expect(model.counts.dtype).toBe('int64');
    model
      .forward(tensor([1n], { device: 'cuda' }))
      .sum()
      .backward();
    model.to('cpu', 'bfloat16');
    const now: string[] = [model.counts.device, model.embed.weight.dtype, grad!.device, grad!.dtype];
    expect(now).toEqual(['cpu', 'bfloat16', 'cpu', 'bfloat16']);
  });
});
