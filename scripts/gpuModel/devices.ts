/** The GPUs of the model. Rates are those that NVIDIA's data sheets promise, without sparsity, at the clock that they assume. */
export interface Gpu {
  readonly name: string;
  /** Bytes a second of its memory. */
  readonly bandwidth: number;
  /** Floating-point operations a second of products of 16 bits that sum in float32, and of float32 without tensor cores. */
  readonly half: number;
  readonly float32: number;
  /** Bytes of its memory. */
  readonly memory: number;
}

const [TERA, GIB] = [1e12, 2 ** 30];
export const gpus: readonly Gpu[] = [
  { name: 'H200', bandwidth: 4.8 * TERA, half: 989 * TERA, float32: 67 * TERA, memory: 141e9 },
  { name: 'A100 80 GB', bandwidth: 2.039 * TERA, half: 312 * TERA, float32: 19.5 * TERA, memory: 80 * GIB },
  { name: 'RTX 4090', bandwidth: 1.008 * TERA, half: 165 * TERA, float32: 82.6 * TERA, memory: 24 * GIB },
];
