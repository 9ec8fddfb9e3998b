import { randn, tidy, type Tensor } from '../runtime/index.ts';

/** The number of ops in a chain. */
export const LENGTH = 100;

/** A chain of 100 mul and add on 8 floats, all recorded, without and with backward, and with backward in no scope. */
export function chains(): Record<'forward' | 'forwardBackward' | 'unscoped', () => void> {
  const a = randn([8], { requiresGrad: true });
  const b = randn([8], { requiresGrad: true });
  const seed = randn([8]);
  const chain = (): Tensor => {
    let t: Tensor = a;
    for (let i = 0; i < LENGTH / 2; i++) t = t.mul(b).add(a);
    return t;
  };
  const backward = (): void => chain().backward(seed);
  const clear = (): void => {
    for (const leaf of [a, b]) {
      leaf.grad!.dispose();
      leaf.grad = null;
    }
  };
  return {
    forward: () => void tidy(() => void chain()),
    forwardBackward: () => {
      tidy(backward);
      clear();
    },
    unscoped: () => {
      backward();
      clear();
    },
  };
}
