// Attention on tensor cores, after FlashAttention-2 (Dao: FlashAttention-2: Faster attention with better parallelism and work partitioning;
// 2023). A block takes QUERIES queries of one head and walks over the keys in tiles of KEYS. Scores exist only in registers: softmax runs
// along with the keys, and a tile whose scores are far above those before rescales what its rows have summed so far.
#include "attention_dropout.h"
#include "attention_few.h"
#include "attention_simt.h"
#include "attention_softmax.h"

namespace castor::cuda {
namespace flash {
namespace {

template <int D> struct Shape {
  // A warp has 32 rows, so that each B operand is used twice.
  static constexpr int WARP_BLOCKS = 2, QUERIES = TILE_THREADS / 32 * WARP_BLOCKS * 16;
  static constexpr int KEYS = D == 128 ? 32 : 64;  // as many as the remaining registers allow
  static constexpr int ELEMENTS = (QUERIES + 4 * KEYS) * D;  // of shared memory: the queries, and two stages of keys and values
};

template <class N, int D, bool CHANGED, bool DROPS>
__global__ void __launch_bounds__(TILE_THREADS, 2) attention_tile_kernel(const Problem p, const Rows out, const Statistic logsumexp) {
  using S = Shape<D>;
  constexpr int M = S::WARP_BLOCKS, KEYS = S::KEYS;
  GPU_DYN_SHARED(N, shared);
  N *queries = shared, *stages = shared + S::QUERIES * D;
  const int blocks = int((p.queries + S::QUERIES - 1) / S::QUERIES), lane = threadIdx.x % 32;
  const Place place = place_of(p, blocks);
  // With a causal mask, later queries see more keys. The blocks with the most keys start first.
  const int first = (blocks - 1 - place.block) * S::QUERIES, warp_row = int(threadIdx.x) / 32 * M * 16;
  const int seen = p.causal ? min(p.keys, first + S::QUERIES) : p.keys;
  const N *next_key = row_of<const N>(p.k, place, 0), *next_value = row_of<const N>(p.v, place, 0);
  auto load_stage = [&](int key, int stage) {
    N *to = stages + stage * 2 * KEYS * D;
    load_tile<KEYS, D, TILE_THREADS>(to, next_key, p.k.row, p.keys - key, p.e);
    load_tile<KEYS, D, TILE_THREADS>(to + KEYS * D, next_value, p.v.row, p.keys - key, p.f);
    next_key += KEYS * p.k.row;
    next_value += KEYS * p.v.row;
  };

  load_tile<S::QUERIES, D, TILE_THREADS>(queries, row_of<const N>(p.q, place, first), p.q.row, p.queries - first, p.e);
  if (seen > 0) load_stage(0, 0);
  gpu::cp_async_commit();
  Softmax<M, CHANGED> softmax;
  float sums[M][D / 8][4] = {};
  const float unit = score_unit<CHANGED>(p);
  const RandomWords<false> random(p, place, first + warp_row, DROPS);
  for (int key = 0, stage = 0; key < seen; key += KEYS, stage ^= 1) {
    gpu::cp_async_wait<0>();
    __syncthreads();
    if (key + KEYS < seen) load_stage(key + KEYS, stage ^ 1);
    gpu::cp_async_commit();
    const N *keys = stages + stage * 2 * KEYS * D;
    float s[M][KEYS / 8][4] = {};
    multiply_transposed<D>(s, queries, warp_row, keys);
    finish_scores<false, CHANGED>(s, p, place, first + warp_row, key);
    softmax.raise(s, sums, unit);
    GPU_UNROLL for (int k = 0; k < KEYS / 16; k++) {
      uint32_t probabilities[M][4];
      GPU_UNROLL for (int m = 0; m < M; m++) {
        softmax.exponentials(s[m][2 * k], m, unit);
        softmax.exponentials(s[m][2 * k + 1], m, unit);
        if (DROPS)
          GPU_UNROLL for (int n = 2 * k; n < 2 * k + 2; n++) random.drop(s[m][n], p.dropout, m * 16, key + n * 8);
        as_operand<N>(probabilities[m], s[m][2 * k], s[m][2 * k + 1]);
      }
      multiply_step<D>(sums, probabilities, keys + KEYS * D, k);
    }
  }
  gpu::cp_async_wait<0>();
  __syncthreads();

  GPU_UNROLL for (int m = 0; m < M; m++) {
    GPU_UNROLL for (int half = 0; half < 2; half++) {
      float sum = softmax.sum[m][half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      const float factor = sum == 0 ? 0 : (DROPS ? float(p.dropout.kept) : 1) / sum;
      GPU_UNROLL for (int n = 0; n < D / 8; n++) {
        sums[m][n][2 * half] *= factor;
        sums[m][n][2 * half + 1] *= factor;
      }
      const int query = first + warp_row + m * 16 + half * 8 + lane / 4;
      if (lane % 4 == 0 && query < p.queries)
        reinterpret_cast<float *>(logsumexp.data)[offset_of(logsumexp, place, query)] = softmax.base(m, half) * (unit / LOG2_E) + logf(sum);
    }
  }
  const int row = first + warp_row;
  store_rows<D>(sums, queries + warp_row * D, row_of<N>(out, place, row), out.row, p.queries - row, p.f);
}

void attention_on_tensor_cores(Context &context, Problem p, const View &q, const View &k, const View &v, const View &out,
                               const View &logsumexp) {
  using Use = Aligned::Use;
  const Aligned aligned_q(context, q, q.dtype, Use::read), aligned_k(context, k, q.dtype, Use::read),
      aligned_v(context, v, q.dtype, Use::read);
  const Aligned aligned_out(context, out, q.dtype, Use::written);
  p.q = aligned_q.rows();
  p.k = aligned_k.rows();
  p.v = aligned_v.rows();
  const PairedMask mask(context, p);
  p.mask = mask.mask();
  with_tile(q.dtype, std::max(p.e, p.f), [&](auto element, auto width) {
    using N = decltype(element);
    constexpr int D = decltype(width)::value;
    using S = Shape<D>;
    const int64_t blocks = p.all_heads * blocks_for(p.queries, S::QUERIES);
    if (are_few(context, p, blocks)) return attend_few<N, D>(context, p, aligned_out.rows(), statistic_of(logsumexp));
    auto *kernel = p.dropout.limit > 0      ? attention_tile_kernel<N, D, true, true>
                   : scores_are_changed(p) ? attention_tile_kernel<N, D, true, false>
                                           : attention_tile_kernel<N, D, false, false>;
    launch(context, "attention", kernel, blocks, TILE_THREADS, S::ELEMENTS * sizeof(N), p, aligned_out.rows(), statistic_of(logsumexp));
  });
  aligned_out.write_back();
}

// Heads of few queries and many keys, which give few blocks, are divided along the keys.
template <class T> void attention_on_ordinary_cores(Context &context, const Problem &p, const Rows &out, const Statistic &logsumexp) {
  const int64_t blocks = p.all_heads * blocks_for(p.queries, Simt<T>::SIDE);
  if (blocks == 0) return;
  constexpr int SHARING = 1024;  // threads; two blocks share a multiprocessor
  const Split split(context, blocks * std::max<int64_t>(1, blocks_for(p.f, Simt<T>::SIDE)), SHARING, blocks_for(p.keys, Simt<T>::SIDE), 4);
  if (split.parts == 1) return launch_simt<T, Result::out>(context, p, {}, out, logsumexp);
  const PartialMemory<T> memory(context, p, split.parts, p.f);
  launch_simt<T, Result::out>(context, p, {}, out, logsumexp, memory.parts(int(split.share) * Simt<T>::SIDE));
  join_parts<T>(context, p, memory.parts(0), out, logsumexp);
}

}  // namespace
}  // namespace flash

using namespace flash;

void attention(const View &q, const View &k, const View &v, const View *mask, const View &out, const View &logsumexp, double scale,
               bool causal, const Dropping &dropping) {
  Context &context = context_of(out);
  const Arguments arguments(context, q, k, v, mask, scale, causal, dropping);
  const Problem &p = arguments.problem;
  if (tensor_cores_take({&q, &k, &v, &out})) return attention_on_tensor_cores(context, p, q, k, v, out, logsumexp);
  if (compute_type(q.dtype, k.dtype, v.dtype) == DType::f64)
    attention_on_ordinary_cores<double>(context, p, rows_of(out), statistic_of(logsumexp));
  else attention_on_ordinary_cores<float>(context, p, rows_of(out), statistic_of(logsumexp));
}

}  // namespace castor::cuda
