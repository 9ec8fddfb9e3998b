import { describe, expect, test } from 'bun:test';
import { printed } from './process.ts';
import { onEmulator } from './setup.ts';

/** The output of a program when the emulator has two GPUs. */
const it = (name: string, program: string, wanted: readonly string[]): void =>
  test.skipIf(!onEmulator)(name, async () => {
    for (const CASTOR_EMULATOR_STREAMS of ['eager', 'lazy'])
      expect(await printed(program, { CASTOR_EMULATOR_DEVICES: '2', CASTOR_EMULATOR_STREAMS })).toEqual([...wanted]);
  });

/** A parameter on each GPU with a gradient, in optimizers that share one scaler. */
const shared = `
  const devices = ['cuda:0', 'cuda:1'];
  const w = devices.map(device => c.nn.Parameter(c.ones([3], { device })));
  const scaler = new c.GradScaler({ initScale: 4, growthInterval: 100 });
  scaler.scale(c.tensor(1));
  const give = (...values) => w.forEach((p, i) => { p.grad = c.full([3], values[i], { device: devices[i] }); });
  const show = (...more) => print(...w.map(p => p.toArraySync()), scaler.getScaleSync(), scaler.skippedStepsSync(), ...more);
`;

describe('two GPUs', () => {
  it(
    'have memory, streams and copies of their own',
    `const [a, b] = ['cuda:0', 'cuda:1'].map(device => c.arange(5000, { device }).to('float32'));
     const sum = b.to('cuda:0').add(a).to('cuda:1');
     print(sum.device, sum.sum().itemSync());
     print(b.T.to({ device: 'cuda:0', dtype: 'int64' }).sum().itemSync());
     print(c.memory.stats('cuda:1').liveStorages > 0, c.deviceInfo('cuda:2').reason);
     print(failure(() => a.add(b)).slice(0, 60));`,
    [
      'cuda:1 24995000',
      '12497500',
      'true there are 2 CUDA devices, cuda:0 to cuda:1',
      'DeviceError: add: tensors are on different devices: cuda:0,',
    ],
  );
  it(
    'share a scaler: an infinity on either is found, and all gradients are unscaled (cases 49 and E9)',
    `${shared}
     const both = new c.optim.SGD(w, { lr: 1 });
     for (const values of [[4, 8], [Infinity, 4], [4, NaN], [Infinity, Infinity], [2, 2]]) {
       give(...values);
       scaler.unscale(both);
       const grads = w.map(p => p.grad.toArraySync()[0]);
       scaler.step(both);
       scaler.update();
       show(...grads);
     }`,
    [
      '0,0,0 -1,-1,-1 4 0 1 2',
      '0,0,0 -1,-1,-1 2 1 Infinity 1',
      '0,0,0 -1,-1,-1 1 2 2 NaN',
      '0,0,0 -1,-1,-1 0.5 3 Infinity Infinity',
      '-4,-4,-4 -5,-5,-5 0.5 3 4 4',
    ],
  );
  it(
    'with an optimizer each: only the one with the infinity skips, and the scale backs off once (case 67)',
    `${shared}
     const each = w.map(p => new c.optim.SGD([p], { lr: 1 }));
     for (const values of [[4, 4], [Infinity, 4], [Infinity, Infinity]]) {
       give(...values);
       const skips = await Promise.all(each.map(optimizer => scaler.step(optimizer).skipped));
       scaler.update();
       show(...skips);
     }`,
    ['0,0,0 0,0,0 4 0 false false', '0,0,0 -1,-1,-1 2 1 true false', '0,0,0 -1,-1,-1 1 3 true true'],
  );
  it(
    'are clipped by the norm of all gradients together',
    `${shared}
     give(3, 4);
     print(c.nn.clipGradNorm(w, 1).itemSync() - Math.sqrt(75) < 1e-5, w.map(p => p.grad.device).join());
     print(c.nn.clipGradNorm(w, 9).itemSync().toFixed(4));`,
    ['true cuda:0,cuda:1', '1.0000'],
  );
});
