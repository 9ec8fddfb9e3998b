/** Copies between devices in a captured graph: each replay copies what the other device has then. */
import { describe, expect, test } from 'bun:test';
import {
  arange,
  DisposedError,
  GraphError,
  isAvailable,
  offload,
  tensor,
  tidy,
  zeros,
  type DType,
  type Tensor,
} from 'castor';
import * as graph from 'castor/graph';
import { printed } from './process.ts';
import { onEmulator } from './setup.ts';

const onGpu = test.skipIf(!isAvailable('cuda'));
const capture = <T>(fn: () => T): graph.CapturedGraph<T> => graph.capture(fn, { device: 'cuda', warmup: 0 });

describe('a graph of the GPU reads the CPU at each replay', () => {
  const layouts: Readonly<Record<string, (t: Tensor) => Tensor>> = {
    contiguous: t => t,
    transposed: t => t.T,
    sliced: t => t.narrow(1, 1, 3),
    broadcast: t => t.narrow(0, 1, 1).expand(4, 5),
  };
  for (const [name, layout] of Object.entries(layouts))
    for (const [from, to] of [
      ['float32', 'float32'],
      ['float64', 'float16'],
      ['int64', 'float32'],
      ['bfloat16', 'float64'],
    ] as readonly (readonly [DType, DType])[])
      onGpu(`${name}, from ${from} to ${to}`, () =>
        tidy(() => {
          const host = zeros([4, 5], { device: 'cpu', dtype: from });
          const target = layout(host).zerosLike().to({ device: 'cuda', dtype: to });
          const shifted = zeros([6, 7], { device: 'cuda', dtype: to });
          const [rows, columns] = target.shape as [number, number];
          const part = shifted.narrow(0, 1, rows).narrow(1, 2, columns);
          using step = capture(() => {
            target.copy_(layout(host));
            part.copy_(layout(host));
            return [target.add(1), layout(host).to('cuda').mul(2)] as [Tensor, Tensor];
          });
          for (const start of [1, 100]) {
            host.copy_(arange(start, start + 20, 1, { device: 'cpu', dtype: from }).reshape([4, 5]));
            const wanted = layout(host).to({ device: 'cpu', dtype: to });
            const [sum, twice] = step.replay();
            expect(sum.toArraySync()).toEqual(wanted.add(1).toArraySync());
            expect(twice.to('cpu').toArraySync()).toEqual(layout(host).mul(2).toArraySync());
            expect(part.toArraySync()).toEqual(wanted.toArraySync());
          }
          expect(shifted.select(0, 0).abs().sum().itemSync()).toBe(0);
        }),
      );

  onGpu('the graph changes what it has copied, and replays do not mix', () =>
    tidy(() => {
      const host = tensor([1, 2, 3], { device: 'cpu' });
      const x = zeros([3], { device: 'cuda' });
      using step = capture(() => {
        const before = x.mul(10);
        x.copy_(host);
        return before.add(x.mul_(2));
      });
      step.replay();
      host.mul_(5);
      step.replay();
      host.fill_(0);
      const last = step.replay();
      expect(last.toArraySync()).toEqual([100, 200, 300]);
      expect(x.toArraySync()).toEqual([0, 0, 0]);
    }),
  );

  onGpu('a tensor of the CPU that was freed is an error', () => {
    const host = tensor([1, 2, 3], { device: 'cpu' });
    const x = zeros([3], { device: 'cuda' });
    const step = capture(() => void x.copy_(host));
    step.replay();
    host.dispose();
    expect(() => step.replay()).toThrow(DisposedError);
    expect(() => step.replay()).toThrow(/another device has been freed.*before the capture/);
    expect(x.toArraySync()).toEqual([1, 2, 3]);
    step.dispose();
    x.dispose();
  });

  onGpu('nothing is copied while it is captured, and a capture that fails leaves nothing', () =>
    tidy(() => {
      const host = tensor([1, 2, 3], { device: 'cpu' });
      const x = zeros([3], { device: 'cuda' });
      using _ = capture(() => void x.copy_(host));
      expect(x.toArraySync()).toEqual([0, 0, 0]);
      expect(() =>
        capture(() => {
          x.copy_(host);
          throw new RangeError('stop');
        }),
      ).toThrow(RangeError);
      expect(x.copy_(host).toArraySync()).toEqual([1, 2, 3]);
    }),
  );

  onGpu('copies to the CPU, and copies in a graph of the CPU, are errors that say what to do', () =>
    tidy(() => {
      const host = zeros([3], { device: 'cpu' });
      const x = zeros([3], { device: 'cuda' });
      for (const copy of [() => host.copy_(x), () => x.to('cpu')]) {
        expect(() => capture(copy)).toThrow(GraphError);
        expect(() => capture(copy)).toThrow(/to the CPU.*read it after a replay/);
      }
      for (const copy of [() => host.copy_(x), () => x.copy_(host)])
        expect(() => graph.capture(copy, { device: 'cpu', warmup: 0 })).toThrow(GraphError);
    }),
  );
});

onGpu('a replay in a stream of the CPU reads what the stream has computed until then', async () => {
  const host = zeros([1000], { device: 'cpu' });
  const x = zeros([1000], { device: 'cuda' });
  const step = capture(() => x.copy_(host).mul(1));
  const sums: number[] = [];
  await offload(async () => {
    for (let i = 1; i < 4; i++) {
      host.add_(i);
      step.replay();
      sums.push((await step.result.sum().item()) as number);
    }
  });
  expect(sums).toEqual([1000, 3000, 6000]);
  expect(host.add(1).sum().itemSync()).toBe(7000);
  step.dispose();
  for (const t of [host, x]) t.dispose();
});

onGpu('what the CPU computes during the capture is refused, because no replay computes it again', () =>
  tidy(() => {
    const host = zeros([3], { device: 'cpu' });
    const x = zeros([3], { device: 'cuda' });
    const wrong: Readonly<Record<string, () => unknown>> = {
      'numbers of the program': () => tensor([1, 2, 3], { device: 'cpu' }).to('cuda'),
      'an op': () => x.copy_(host.add(1)),
      'a write': () => x.copy_(host.fill_(1)),
    };
    for (const fn of Object.values(wrong)) {
      expect(() => capture(fn)).toThrow(GraphError);
      expect(() => capture(fn)).toThrow(/no replay computes it again.*before the capture/);
    }
  }),
);

/** The output of a program when the emulator has two GPUs. */
const onTwo = (name: string, program: string, wanted: readonly string[]): void =>
  test.skipIf(!onEmulator)(name, async () => {
    for (const CASTOR_EMULATOR_STREAMS of ['eager', 'lazy'])
      expect(await printed(program, { CASTOR_EMULATOR_DEVICES: '2', CASTOR_EMULATOR_STREAMS })).toEqual([...wanted]);
  });
describe('a graph of one of two GPUs', () => {
  onTwo(
    'reads the other at each replay',
    `const there = c.zeros([3, 2], { device: 'cuda:1', dtype: 'float16' });
     const here = c.zeros([2, 3], { device: 'cuda:0' });
     const step = c.graph.capture(() => here.copy_(there.T).add(1), { device: 'cuda:0', warmup: 0 });
     for (const value of [1, 2, 3]) {
       there.mul_(0).add_(value);
       there.select(1, 0).add_(0.5);
       const out = step.replay();
       there.fill_(99);
       print(out.toArraySync().join(' '));
     }`,
    ['2.5,2.5,2.5 2,2,2', '3.5,3.5,3.5 3,3,3', '4.5,4.5,4.5 4,4,4'],
  );
  onTwo(
    'writes to the other, in the order of the work there',
    `const there = c.zeros([3, 2], { device: 'cuda:1', dtype: 'float64' });
     const here = c.ones([2, 3], { device: 'cuda:0' });
     const step = c.graph.capture(() => {
       there.T.copy_(here.mul(10));
       here.add_(1);
       return here.to('cuda:1');
     }, { device: 'cuda:0', warmup: 0 });
     print(there.sum().itemSync(), here.sum().itemSync());
     for (let i = 0; i < 2; i++) {
       there.fill_(7);
       const out = step.replay();
       print(out.device, there.add(1).sum().itemSync(), out.sum().itemSync());
     }`,
    ['0 6', 'cuda:1 66 12', 'cuda:1 126 18'],
  );
  onTwo(
    'does not get back what it has sent there',
    `const there = c.zeros([3], { device: 'cuda:1' });
     const here = c.ones([3], { device: 'cuda:0' });
     print(failure(() => c.graph.capture(() => { there.copy_(here); here.copy_(there); }, { device: 'cuda:0', warmup: 0 })).slice(0, 60));
     const step = c.graph.capture(() => { here.copy_(there); here.add_(1); there.copy_(here); }, { device: 'cuda:0', warmup: 0 });
     for (let i = 0; i < 3; i++) step.replay();
     print(there.toArraySync(), here.toArraySync());
     there.dispose();
     print(failure(() => step.replay()).slice(0, 60));`,
    [
      'GraphError: copy_: what was computed on another device durin',
      '3,3,3 3,3,3',
      'DisposedError: replay: a tensor that the graph copies from o',
    ],
  );
});
