/** Models whose parameters, buffers and gradients show one memory, or are one object, are converted as any others. */
import { describe, expect } from 'bun:test';
import { F, memory, nn, noGrad, ones, optim, tensor, type Tensor } from 'castor';
import { devices, tidyTest } from './setup.ts';

for (const device of devices)
  describe(`to() of gradients on ${device}`, () => {
    const pair = (): [model: nn.Sequential, first: Tensor, second: Tensor] => {
      const layers = [0, 1].map(() => new nn.Linear(2, 2, { device, bias: false })) as [nn.Linear, nn.Linear];
      return [new nn.Sequential(...layers), layers[0].weight, layers[1].weight];
    };
    const values = (t: Tensor | null): unknown[] => [t!.dtype, t!.toArraySync()];
    const gradient = (): Tensor =>
      tensor(
        [
          [1, 2],
          [3, 4],
        ],
        { device },
      );
    const half = [
      'float16',
      [
        [1, 2],
        [3, 4],
      ],
    ];

    tidyTest('one gradient of two parameters stays one', () => {
      const [model, first, second] = pair();
      const { liveStorages } = memory.stats(device);
      const shared = gradient();
      [first.grad, second.grad] = [shared, shared];
      model.half();
      expect(values(first.grad)).toEqual(half);
      expect([first.grad === shared, second.grad === shared]).toEqual([true, true]);
      expect(memory.stats(device).liveStorages).toBe(liveStorages + 1);
    });
    tidyTest(
      'a gradient that another model has converted is left as it is, and converted back with its parameter',
      () => {
        const [, first, second] = pair();
        const shared = gradient();
        [first.grad, second.grad] = [shared, shared];
        class Holder extends nn.Module {
          weight: Tensor;
          constructor(weight: Tensor) {
            super();
            this.weight = weight;
          }
          forward(): void {}
        }
        new Holder(first).half();
        const other = new Holder(second);
        // It is of another dtype than its parameter now.
        other.float();
        expect(values(second.grad)[0]).toBe('float32');
        new optim.SGD([second], { lr: 1 }).step();
        new Holder(first).half();
        other.half();
        expect(values(second.grad)).toEqual(half);
      },
    );
    tidyTest('gradients that show one memory are converted, whichever comes first', () => {
      for (const order of [0, 1]) {
        const [model, ...weights] = pair();
        const { liveStorages } = memory.stats(device);
        const whole = gradient();
        weights[order]!.grad = whole;
        weights[1 - order]!.grad = whole.detach();
        model.half();
        expect(weights.map(({ grad }) => values(grad))).toEqual([half, half]);
        expect(memory.stats(device).liveStorages).toBe(liveStorages + 2);
      }
    });
    tidyTest('a gradient may show the memory of a parameter, its own or one before or after it', () => {
      for (const [from, to] of [
        [0, 0],
        [0, 1],
        [1, 0],
      ] as const) {
        const [model, ...weights] = pair();
        noGrad(() => weights[from]!.copy_(gradient()));
        weights[to]!.grad = weights[from]!.detach();
        model.half();
        expect([values(weights[from]!), values(weights[to]!.grad)]).toEqual([half, half]);
        noGrad(() => weights[from]!.fill_(9));
        expect(values(weights[to]!.grad)).toEqual(half);
      }
    });
    tidyTest('a gradient may be a buffer of the model, before or after its parameter', () => {
      class Model extends nn.Module {
        parts: Tensor[];
        constructor(parts: Tensor[]) {
          super();
          this.parts = parts;
        }
        forward(): void {}
      }
      for (const order of [0, 1]) {
        const [weight, buffer] = [nn.Parameter(ones([2, 2], { device })), nn.Buffer(gradient())];
        weight.grad = buffer;
        new Model(order === 0 ? [weight, buffer] : [buffer, weight]).half();
        expect(weight.grad).toBe(buffer);
        expect(weight.dtype as string).toBe('float16');
        expect(values(buffer)).toEqual(half);
      }
    });
    tidyTest('gradients that are views of one flat memory leave it as it is', () => {
      const [model, first, second] = pair();
      const flat = ones([8], { device });
      [first.grad, second.grad] = [flat.narrow(0, 0, 4).view([2, 2]), flat.narrow(0, 4, 4).view([2, 2])];
      model.bfloat16();
      noGrad(() => first.grad!.fill_(3));
      expect([flat.sum().itemSync(), first.grad!.sum().itemSync(), second.grad!.sum().itemSync()]).toEqual([8, 12, 4]);
      F.mseLoss(
        model.forward(ones([1, 2], { device, dtype: 'bfloat16' })) as Tensor,
        ones([1, 2], { device, dtype: 'bfloat16' }),
      ).backward();
      expect(second.grad!.dtype).toBe('bfloat16');
    });
  });
