/** The levels of the CPU kernels, narrowest first, with what a figure must reach on each. */
export const levels = ['generic', 'avx2', 'avx512', 'avx512bf16', 'amx'] as const;
export type Level = (typeof levels)[number];

export const isLevel = (name: string | undefined): name is Level => levels.some(level => level === name);

interface LevelFacts {
  /** The limits of how many times faster than in float32 a step of the GPT of width 512 is in bfloat16, and in float16 with a scaler. */
  readonly speedup: { readonly bf16: string; readonly f16: string };
  /** The flags with which GCC and Clang compile for it. */
  readonly flags: readonly string[];
  /** Variables that keep PyTorch, oneDNN and MKL to the same instructions. */
  readonly torch: Readonly<Record<string, string>>;
}

/** On every machine 16 bits must not be slower than float32. */
const notSlower = { bf16: '>= 1', f16: '>= 1' };
const variables = (aten: string, mkl: string, oneDnn: string): Record<string, string> => ({
  ATEN_CPU_CAPABILITY: aten,
  MKL_ENABLE_INSTRUCTIONS: mkl,
  ONEDNN_MAX_CPU_ISA: oneDnn,
});
const avx512 = ['-mavx512f', '-mavx512bw', '-mavx512vl', '-mfma'];
export const levelFacts: Readonly<Record<Level, LevelFacts>> = {
  generic: { speedup: notSlower, flags: [], torch: variables('default', 'SSE4_2', 'SSE41') },
  avx2: { speedup: notSlower, flags: ['-mavx2', '-mfma'], torch: variables('avx2', 'AVX2', 'AVX2') },
  avx512: { speedup: notSlower, flags: avx512, torch: variables('avx512', 'AVX512', 'AVX512_CORE') },
  avx512bf16: {
    speedup: { bf16: '>= 1.4', f16: '>= 1' },
    flags: [...avx512, '-mavx512bf16'],
    torch: variables('avx512', 'AVX512', 'AVX512_CORE_BF16'),
  },
  amx: {
    speedup: { bf16: '>= 2.5', f16: '>= 1.7' },
    flags: [...avx512, '-mavx512bf16', '-mamx-tile', '-mamx-bf16'],
    torch: variables('avx512', 'AVX512', 'AVX512_CORE_AMX'),
  },
};
