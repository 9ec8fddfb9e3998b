// Attention of few queries on tensor cores. A tile of QUERIES queries is as small as their instructions allow, and the warps of a block
// share it: each warp takes other keys, and gives a part of its own.
#pragma once
#include "attention_parts.h"
#include "attention_softmax.h"

namespace castor::cuda::flash {

template <int D> struct FewShape {
  static constexpr int WARPS = TILE_THREADS / 32, QUERIES = 16;
  static constexpr int ROWS = D == 32 ? 32 : QUERIES;  // of the tile of queries: as many as the block copies at once
  static constexpr int KEYS = D == 128 ? 64 : 128, WARP_KEYS = KEYS / WARPS;
  static constexpr int ELEMENTS = (ROWS + 4 * KEYS) * D;  // of shared memory: the queries, and two stages of keys and values
};

template <class N, int D, bool CHANGED>
__global__ void __launch_bounds__(TILE_THREADS, 3) attention_few_kernel(const Problem p, const Parts<float> parts) {
  using S = FewShape<D>;
  constexpr int KEYS = S::KEYS;
  GPU_DYN_SHARED(N, shared);
  N *queries = shared, *stages = shared + S::ROWS * D;
  const Place place = place_of(p, (p.queries + S::QUERIES - 1) / S::QUERIES);
  const int first = place.block * S::QUERIES, warp = int(threadIdx.x) / 32, lane = threadIdx.x % 32, warp_key = warp * S::WARP_KEYS;
  const int begin = int(blockIdx.y) * parts.share, end = min(p.causal ? min(p.keys, first + S::QUERIES) : p.keys, begin + parts.share);
  const N *next_key = row_of<const N>(p.k, place, begin), *next_value = row_of<const N>(p.v, place, begin);
  auto load_stage = [&](int key, int stage) {
    N *to = stages + stage * 2 * KEYS * D;
    load_tile<KEYS, D, TILE_THREADS>(to, next_key, p.k.row, p.keys - key, p.e);
    load_tile<KEYS, D, TILE_THREADS>(to + KEYS * D, next_value, p.v.row, p.keys - key, p.f);
    next_key += KEYS * p.k.row;
    next_value += KEYS * p.v.row;
  };

  load_tile<S::ROWS, D, TILE_THREADS>(queries, row_of<const N>(p.q, place, first), p.q.row, min(S::QUERIES, p.queries - first), p.e);
  if (begin < end) load_stage(begin, 0);
  gpu::cp_async_commit();
  Softmax<1, CHANGED> softmax;
  float sums[1][D / 8][4] = {};
  const float unit = score_unit<CHANGED>(p);
  for (int key = begin, stage = 0; key < end; key += KEYS, stage ^= 1) {
    gpu::cp_async_wait<0>();
    __syncthreads();
    if (key + KEYS < end) load_stage(key + KEYS, stage ^ 1);
    gpu::cp_async_commit();
    const N *keys = stages + stage * 2 * KEYS * D + warp_key * D, *values = keys + KEYS * D;
    float s[1][S::WARP_KEYS / 8][4] = {};
    multiply_transposed<D>(s, queries, 0, keys);
    finish_scores<false, CHANGED>(s, p, place, first, key + warp_key);
    softmax.raise(s, sums, unit);
    GPU_UNROLL for (int k = 0; k < S::WARP_KEYS / 16; k++) {
      uint32_t probabilities[1][4];
      softmax.exponentials(s[0][2 * k], 0, unit);
      softmax.exponentials(s[0][2 * k + 1], 0, unit);
      as_operand<N>(probabilities[0], s[0][2 * k], s[0][2 * k + 1]);
      multiply_step<D>(sums, probabilities, values, k);
    }
  }
  gpu::cp_async_wait<0>();

  const int64_t at = parts.index(int64_t(place.flat) * p.queries + first, int(blockIdx.y) * S::WARPS + warp);
  GPU_UNROLL for (int half = 0; half < 2; half++) {
    float sum = softmax.sum[0][half];
    sum += __shfl_xor_sync(WARP, sum, 1);
    sum += __shfl_xor_sync(WARP, sum, 2);
    const int row = half * 8 + lane / 4;
    if (lane % 4 == 0 && first + row < p.queries)
      parts.rows[at + int64_t(row) * parts.count] = {softmax.top[0][half] * (unit / LOG2_E), sum};
  }
  store_wide_rows<D>(sums, parts.sums + at * D, int64_t(parts.count) * D, p.queries - first, p.f);
}

// Whether a kernel that gives so many blocks, of more queries than QUERIES, is slower: most of its rows, or most multiprocessors, would
// have nothing to do. Few keys do not pay for the second launch. Dropout is for training, where queries are many.
inline bool are_few(const Context &context, const Problem &p, int64_t blocks) {
  constexpr int LEAST_KEYS = 256;
  if (p.keys < LEAST_KEYS || blocks == 0 || p.dropout.limit > 0) return false;
  return p.queries <= FewShape<64>::QUERIES || 4 * blocks <= context.multiprocessors;
}

template <class N, int D> void attend_few(Context &context, const Problem &p, const Rows &out, const Statistic &logsumexp) {
  using S = FewShape<D>;
  constexpr int SHARING = 1024, LEAST = 2;  // threads, of blocks of which two share a multiprocessor; tiles
  const int64_t blocks = p.all_heads * blocks_for(p.queries, S::QUERIES);
  const Split split(context, blocks, SHARING, blocks_for(p.keys, S::KEYS), LEAST);
  const PartialMemory<float> memory(context, p, split.parts * S::WARPS, D);
  const Parts<float> parts = memory.parts(int(split.share) * S::KEYS);
  auto *kernel = scores_are_changed(p) ? attention_few_kernel<N, D, true> : attention_few_kernel<N, D, false>;
  launch(context, "attention", kernel, Grid(blocks, split.parts), TILE_THREADS, S::ELEMENTS * int64_t(sizeof(N)), p, parts);
  join_parts<float>(context, p, parts, out, logsumexp);
}

}  // namespace castor::cuda::flash
