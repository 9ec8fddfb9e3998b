import { afterEach, describe, expect, test } from 'bun:test';
import {
  autocast,
  F,
  getDefaultDevice,
  getDefaultDType,
  GradScaler,
  nn,
  optim,
  setDefaultDevice,
  setDefaultDType,
  tensor,
  train,
  type FloatDType,
} from 'castor';
import { devices } from './setup.ts';

const before = getDefaultDType();
const initial = getDefaultDevice();
afterEach(() => setDefaultDType(before));

/** The tensors that Castor creates internally have the dtype that they need, whatever the default dtype is. */
for (const device of devices)
  for (const dtype of ['float64', 'float32', 'bfloat16', 'float16'] as const satisfies FloatDType[])
    describe(`${dtype} as the default dtype on ${device}`, () => {
      const rows = (): [ReturnType<typeof tensor>, ReturnType<typeof tensor>] => [
        tensor([[1, -2], [0.5, 1]], { device }), // prettier-ignore
        tensor([[1], [0]], { device }),
      ];

      for (const [name, make] of Object.entries({
        SGD: (m: nn.Module) => new optim.SGD(m.parameters(), { lr: 0.125, momentum: 0.5 }),
        Adam: (m: nn.Module) => new optim.Adam(m.parameters(), { amsgrad: true }),
        AdamW: (m: nn.Module) => new optim.AdamW(m.parameters()),
      }))
        test(`${name} trains, also with clipped gradients`, () => {
          setDefaultDType(dtype);
          const [x, y] = rows();
          const model = new nn.Linear(2, 1, { device });
          expect(model.weight.dtype).toBe(dtype);
          const optimizer = make(model);
          const start = model.weight.toArraySync();
          for (let step = 0; step < 2; step++) {
            F.mseLoss(model.forward(x), y).backward();
            expect(nn.clipGradNorm(model.parameters(), 1).itemSync()).toBeGreaterThan(0);
            optimizer.step();
            optimizer.zeroGrad();
          }
          expect(model.weight.toArraySync()).not.toEqual(start);
          expect(nn.clipGradNorm(model.parameters(), 1).itemSync()).toBe(0);
        });

      test('a GradScaler scales, checks and steps', async () => {
        setDefaultDType(dtype);
        const [x, y] = rows();
        const model = new nn.Linear(2, 1, { device, dtype: 'float32' });
        const optimizer = new optim.SGD(model.parameters(), { lr: 0.125 });
        const scaler = new GradScaler({ device, initScale: 8 });
        const start = model.weight.toArraySync();
        for (const clips of [true, false]) {
          const loss = autocast({ device, dtype: 'float16' }, () => F.mseLoss(model.forward(x.float()), y.float()));
          scaler.scale(loss).backward();
          if (clips) {
            scaler.unscale(optimizer);
            nn.clipGradNorm(model.parameters(), 1);
          }
          expect(await scaler.step(optimizer).skipped).toBe(false);
          scaler.update();
          optimizer.zeroGrad();
        }
        expect(model.weight.toArraySync()).not.toEqual(start);
      });

      test('losses of another device than the default one have a mean, and none have none', async () => {
        setDefaultDevice(device);
        try {
          expect(await train.meanLoss([1, 2], x => tensor(x, { dtype, device: 'cpu' }))).toBe(1.5);
          expect(await train.meanLoss([], () => tensor(1))).toBeNaN();
        } finally {
          setDefaultDevice(initial);
        }
      });

      test('the mean of losses is not rounded to it', async () => {
        setDefaultDType(dtype);
        const losses = Array.from({ length: 3000 }, () => tensor(1.5, { device }));
        expect(await train.meanLoss(losses, loss => loss)).toBe(1.5);
      });
    });
