import { expect } from 'bun:test';
import {
  autocast,
  autocastDtype,
  F,
  manualSeed,
  nn,
  randn,
  tensor,
  type DType,
  type LowDType,
  type Tensor,
} from 'castor';

/**
 * One property that PyTorch's own tests check, or should check, with its number in the specification that this suite
 * was written from.
 */
export interface Case {
  readonly id: string;
  /** The property in our own words. */
  readonly title: string;
  /** Absent if the case cannot be run; then `reason` says why. */
  readonly run?: () => void | Promise<void>;
  readonly reason?: string;
  /**
   * Ops of the case that Castor does not have yet. The suite fails when one of them is added, so that the case gets
   * completed.
   */
  readonly pending?: readonly string[];
}

/** Why a case is not run here. */
const onTwo = (name: string): string =>
  `needs two GPUs: shown on two of the emulator by tests/twoGpus.test.ts, '${name}'`;
export const SHARED_SCALER = onTwo('share a scaler: an infinity on either is found, and all gradients are unscaled');
export const OWN_OPTIMIZERS = onTwo('with an optimizer each: only the one with the infinity skips');

export const lows = ['float16', 'bfloat16'] as const satisfies LowDType[];
export const otherLow = (dtype: LowDType): LowDType => (dtype === 'float16' ? 'bfloat16' : 'float16');

/** Makes a tensor of a shape in some dtype, with values in (0.1, 0.9), where every op is defined. */
export type Make = (...shape: number[]) => Tensor;
export const make =
  (dtype: DType): Make =>
  (...shape) => {
    const n = shape.reduce((a, b) => a * b, 1);
    return tensor(Array.from({ length: n }, (_, i) => 0.1 + (0.8 * (i + 0.5)) / n))
      .reshape(shape)
      .to(dtype);
  };

/**
 * Checks an op: autocast applies inside the scope, not in a disabled scope, again after it, and not outside. The result
 * equals, bit for bit, that of inputs that were cast by hand.
 */
export function holds(low: LowDType, given: DType, read: DType, out: DType, call: (x: Make) => Tensor): void {
  expect(autocastDtype()).toBeNull();
  autocast({ dtype: low }, () => {
    expect(autocastDtype()).toBe(low);
    const result = call(make(given));
    expect(result.dtype).toBe(out);
    autocast({ enabled: false }, () => {
      expect(autocastDtype()).toBeNull();
      const byHand = call((...shape) => make(given)(...shape).to(read));
      expect(byHand.to(out).dataSync()).toEqual(result.dataSync());
    });
    expect(autocastDtype()).toBe(low);
  });
  expect(autocastDtype()).toBeNull();
}

/** A small network with inputs and targets, which depend only on the seed. */
export function problem(seed = 3): { model: nn.Sequential; batches: { x: Tensor; y: Tensor }[] } {
  manualSeed(seed);
  const model = new nn.Sequential(new nn.Linear(8, 8), new nn.Linear(8, 8));
  const batches = Array.from({ length: 4 }, () => ({ x: randn([8, 8]), y: randn([8, 8]) }));
  return { model, batches };
}
export const lossOf = (model: nn.Sequential, { x, y }: { x: Tensor; y: Tensor }): Tensor =>
  F.mseLoss(model.forward(x) as Tensor, y);
export const valuesOf = (model: nn.Module): number[] =>
  [...model.parameters()].flatMap(p => [...(p.dataSync() as Float32Array)]);
