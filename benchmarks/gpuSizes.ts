import type { GptConfig } from './model.ts';

/** The sizes of all problems. PyTorch gets the same numbers. */
export interface Sizes {
  elements: number;
  rows: number;
  columns: number;
  square: number;
  batch: number;
  gpt: GptConfig;
  /** The number of calls in a round, of kernels and of training steps. */
  calls: number;
  steps: number;
}

/** GPT-2 with 124 M parameters. */
const gpt2: GptConfig = { layers: 12, width: 768, heads: 12, context: 1024, vocabulary: 50304, tied: true };
export const large: Sizes = {
  elements: 64 * 2 ** 20,
  rows: 16384,
  columns: 4096,
  square: 8192,
  batch: 16,
  gpt: gpt2,
  calls: 20,
  steps: 5,
};
export const tiny: Sizes = {
  elements: 4096,
  rows: 8,
  columns: 64,
  square: 32,
  batch: 2,
  gpt: { ...gpt2, layers: 2, width: 32, heads: 2, context: 16, vocabulary: 64 },
  calls: 1,
  steps: 1,
};
