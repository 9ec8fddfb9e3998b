// Attention on tensor cores, after FlashAttention-2 (Dao: FlashAttention-2: Faster attention with better parallelism and work partitioning;
// 2023). A block takes QUERIES queries of one head and walks over the keys in tiles of KEYS. Scores exist only in registers: softmax runs
// along with the keys, and a tile whose scores are far above those before rescales what its rows have summed so far.
#include "attention_simt.h"
#include "attention_tile.h"

namespace castor::cuda {
namespace flash {
namespace {

template <int D> struct Shape {
  // A warp has 32 rows, so that each B operand is used twice.
  static constexpr int WARP_BLOCKS = 2, QUERIES = TILE_THREADS / 32 * WARP_BLOCKS * 16;
  static constexpr int KEYS = D == 128 ? 32 : 64;  // as many as the remaining registers allow
  static constexpr int ELEMENTS = (QUERIES + 4 * KEYS) * D;  // of shared memory: the queries, and two stages of keys and values
};

// The state of the rows g and g + 8 of each 16 x 8 block of accumulators: the base, which is a score that no score so far is much above,
// and this lane's part of the sum of the exponentials of the scores minus this base.
template <int M, bool CHANGED> struct Softmax {
  float top[M][2], sum[M][2];

  __device__ __forceinline__ Softmax() {
    GPU_UNROLL for (int i = 0; i < M * 2; i++) {
      top[i / 2][i % 2] = HIDDEN;
      sum[i / 2][i % 2] = 0;
    }
  }

  __device__ __forceinline__ float base(int m, int half) const { return top[m][half] == HIDDEN ? 0 : top[m][half]; }

  // Raises the bases of the warp's rows to the largest scores so far, and rescales the earlier sums, if a new score is so far above the
  // base of its row that its exponential would be more than 2^FAR. Otherwise nothing has to be rescaled: exponentials up to 2^FAR are as
  // exact in 16 bits as those up to 1, and the base cancels in the end.
  template <int KEYS, int COLUMNS>
  __device__ __forceinline__ void raise(const float (&s)[M][KEYS][4], float (&sums)[M][COLUMNS][4], float unit) {
    constexpr float FAR = 8;
    float highest[M][2];
    bool far = false;
    GPU_UNROLL for (int m = 0; m < M; m++) {
      GPU_UNROLL for (int half = 0; half < 2; half++) {
        float x = top[m][half];
        GPU_UNROLL for (int n = 0; n < KEYS; n++) x = fmaxf(x, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
        x = fmaxf(x, __shfl_xor_sync(WARP, x, 1));
        x = fmaxf(x, __shfl_xor_sync(WARP, x, 2));
        far |= (x - top[m][half]) * unit > FAR;
        highest[m][half] = x;
      }
    }
    if (!__any_sync(WARP, far)) return;
    GPU_UNROLL for (int m = 0; m < M; m++) {
      GPU_UNROLL for (int half = 0; half < 2; half++) {
        const float x = highest[m][half], shrink = gpu::exp2_approx((top[m][half] - (x == HIDDEN ? 0 : x)) * unit);
        top[m][half] = x;
        sum[m][half] *= shrink;
        GPU_UNROLL for (int n = 0; n < COLUMNS; n++) {
          sums[m][n][2 * half] *= shrink;
          sums[m][n][2 * half + 1] *= shrink;
        }
      }
    }
  }

  // Turns the scores of a block into exponentials.
  __device__ __forceinline__ void exponentials(float (&s)[4], int m, float unit) {
    GPU_UNROLL for (int i = 0; i < 4; i++) {
      s[i] = exponential<CHANGED>(s[i], base_of<CHANGED>(base(m, i / 2), unit), unit);
      sum[m][i / 2] += s[i];
    }
  }
};

template <class N, int D, bool CHANGED>
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
      const float factor = sum == 0 ? 0 : 1 / sum;
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
    auto *kernel = scores_are_changed(p) ? attention_tile_kernel<N, D, true> : attention_tile_kernel<N, D, false>;
    launch(context, "attention", kernel, p.all_heads * blocks_for(p.queries, S::QUERIES), TILE_THREADS,
           S::ELEMENTS * sizeof(N), p, aligned_out.rows(), statistic_of(logsumexp));
  });
  aligned_out.write_back();
}

}  // namespace
}  // namespace flash

using namespace flash;

void attention(const View &q, const View &k, const View &v, const View *mask, const View &out, const View &logsumexp, double scale,
               bool causal) {
  Context &context = context_of(out);
  const Arguments arguments(context, q, k, v, mask, scale, causal);
  const Problem &p = arguments.problem;
  if (tensor_cores_take({&q, &k, &v, &out})) return attention_on_tensor_cores(context, p, q, k, v, out, logsumexp);
  if (compute_type(q.dtype, k.dtype, v.dtype) == DType::f64)
    launch_simt<double, Result::out>(context, p, {}, rows_of(out), statistic_of(logsumexp));
  else launch_simt<float, Result::out>(context, p, {}, rows_of(out), statistic_of(logsumexp));
}

}  // namespace castor::cuda
