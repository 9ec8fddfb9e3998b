// The gradient of attention (after FlashAttention-2, see attention.cu), without atomic additions between blocks, so that the order of every
// sum is fixed. One kernel gives dK and dV, where a block owns keys; another gives dQ, where a block owns queries. Both compute the
// probabilities P again, a tile at a time:
// dV = P' dO,  dS = P (dO V' - delta) with delta = rowsum(dO O),  dQ = scale dS K,  dK = scale dS' Q.
// With dropout D, which is linear: dV = D(P)' dO,  dS = P (D(dO V') - delta).
#include "attention_dropout.h"
#include "attention_simt.h"
#include "attention_tile.h"

namespace castor::cuda {
namespace flash {
namespace {

// ---- statistics of the rows ------------------------------------------------------------------------------------------

// The base of a row: P = e^(score - base). For a row that sees no key it is infinite, so that every probability is 0.
template <class T> __device__ __forceinline__ T exponent_base(T logsumexp) { return logsumexp == -INFINITY ? T(INFINITY) : logsumexp; }

// delta of each row of each head. Each row is computed by a warp.
template <class T>
__global__ void attention_delta_kernel(const Problem p, const Rows grad, const Rows out, T *delta) {
  const int64_t row = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= int64_t(p.all_heads) * p.queries) return;
  const int head = int(row / p.queries), query = int(row % p.queries);
  const Place place{head, head / p.heads, head % p.heads, 0};
  const int64_t left = offset_of(grad, place, query), right = offset_of(out, place, query);
  T sum = 0;
  for (int x = threadIdx.x % 32; x < p.f; x += 32)
    sum += load_float<T>(grad.data, grad.dtype, left + x * grad.column) * load_float<T>(out.data, out.dtype, right + x * out.column);
  sum = warp_reduce(sum, Sum{});
  if (threadIdx.x % 32 == 0) delta[row] = sum;
}

// The statistics of a row that the tiles need: the logsumexp in the form that exponential() takes, and delta. The rows are padded to whole
// tiles with rows whose probabilities are 0.
struct RowStatistics { float base, delta; };
constexpr int ROW_PADDING = 128;

// Eight threads compute a row, including the rows of the padding.
template <class N> __global__ void attention_rows_kernel(const Problem p, const Rows grad, const Rows out, const Statistic logsumexp,
                                                         RowStatistics *rows, int padded, float unit) {
  const int64_t row = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / 8;
  const int head = int(row / padded), query = int(row % padded);
  const Place place{head, head / p.heads, head % p.heads, 0};
  const bool exists = head < p.all_heads && query < p.queries;
  float sum = 0;
  if (exists) {
    for (int x = threadIdx.x % 8 * 8; x < p.f; x += 64) {
      const Vector<float> a = load_vector<float>(grad.data, grad.dtype, offset_of(grad, place, query) + x);
      const Vector<float> b = load_vector<float>(out.data, out.dtype, offset_of(out, place, query) + x);
      GPU_UNROLL for (int i = 0; i < 8; i++) sum += a.v[i] * b.v[i];
    }
  }
  GPU_UNROLL for (int distance = 4; distance > 0; distance /= 2) sum += __shfl_xor_sync(WARP, sum, distance);
  if (threadIdx.x % 8 || head >= p.all_heads) return;
  const float lse = exists ? reinterpret_cast<const float *>(logsumexp.data)[offset_of(logsumexp, place, query)] : -INFINITY;
  rows[row] = {exponent_base(lse) * unit, sum};
}

// ---- dK and dV -------------------------------------------------------------------------------------------------------

template <int D> struct KeyShape {
  // With 32 keys per warp each B operand is used twice. For D = 128 the sums of 32 x 128 would leave no registers for the scores, so there
  // are 16.
  static constexpr int WARP_BLOCKS = D == 128 ? 1 : 2, KEYS = TILE_THREADS / 32 * WARP_BLOCKS * 16;
  static constexpr int QUERIES = D == 32 ? 64 : D == 64 ? 32 : 64;
  static constexpr int STAGE = 2 * QUERIES * D * 2 + QUERIES * int(sizeof(RowStatistics));  // bytes: queries, dO, statistics
  static constexpr int SHARED = 2 * KEYS * D * 2 + 2 * STAGE;
};

template <class N, int D, bool CHANGED, bool DROPS>
__global__ void __launch_bounds__(TILE_THREADS, 2)
attention_key_kernel(const Problem p, const Rows grad, const RowStatistics *statistics, int padded, const Rows grad_k, const Rows grad_v) {
  using S = KeyShape<D>;
  constexpr int M = S::WARP_BLOCKS, KEYS = S::KEYS, QUERIES = S::QUERIES;
  GPU_DYN_SHARED(char, shared);
  N *keys = reinterpret_cast<N *>(shared), *values = keys + KEYS * D;
  char *stages = shared + 2 * KEYS * D * 2;
  const Place place = place_of(p, (p.keys + KEYS - 1) / KEYS);
  const int first = place.block * KEYS, warp_row = int(threadIdx.x) / 32 * M * 16, lane = threadIdx.x % 32;
  int query = p.causal ? first / QUERIES * QUERIES : 0;
  const N *next_query = row_of<const N>(p.q, place, query), *next_grad = row_of<const N>(grad, place, query);
  statistics += int64_t(place.flat) * padded;
  auto load_stage = [&](int from, int stage) {
    N *to = reinterpret_cast<N *>(stages + stage * S::STAGE);
    load_tile<QUERIES, D, TILE_THREADS>(to, next_query, p.q.row, p.queries - from, p.e);
    load_tile<QUERIES, D, TILE_THREADS>(to + QUERIES * D, next_grad, grad.row, p.queries - from, p.f);
    if (threadIdx.x < QUERIES / 2)
      gpu::cp_async16(reinterpret_cast<RowStatistics *>(to + 2 * QUERIES * D) + threadIdx.x * 2, statistics + from + threadIdx.x * 2);
    __syncwarp();
    next_query += QUERIES * p.q.row;
    next_grad += QUERIES * grad.row;
  };

  load_tile<KEYS, D, TILE_THREADS>(keys, row_of<const N>(p.k, place, first), p.k.row, p.keys - first, p.e);
  load_tile<KEYS, D, TILE_THREADS>(values, row_of<const N>(p.v, place, first), p.v.row, p.keys - first, p.f);
  if (query < p.queries) load_stage(query, 0);
  gpu::cp_async_commit();
  float key_sums[M][D / 8][4] = {}, value_sums[M][D / 8][4] = {};
  const float unit = score_unit<CHANGED>(p);
  const RandomWords<true> random(p, place, first + warp_row, DROPS);
  for (int stage = 0; query < p.queries; query += QUERIES, stage ^= 1) {
    gpu::cp_async_wait<0>();
    __syncthreads();
    if (query + QUERIES < p.queries) load_stage(query + QUERIES, stage ^ 1);
    gpu::cp_async_commit();
    const N *queries = reinterpret_cast<const N *>(stages + stage * S::STAGE), *grads = queries + QUERIES * D;
    const RowStatistics *rows = reinterpret_cast<const RowStatistics *>(grads + QUERIES * D) + lane % 4 * 2;

    // The scores and their gradients are computed transposed, with keys as rows. Their accumulators then have the layout of the A operands
    // of the products that follow.
    float s[M][QUERIES / 8][4] = {}, d[M][QUERIES / 8][4] = {};
    multiply_transposed<D>(s, keys, warp_row, queries);
    finish_scores<true, CHANGED>(s, p, place, first + warp_row, query);
    multiply_transposed<D>(d, values, warp_row, grads);
    GPU_UNROLL for (int k = 0; k < QUERIES / 16; k++) {
      uint32_t probabilities[M][4], gradients[M][4];
      GPU_UNROLL for (int n = 2 * k; n < 2 * k + 2; n++) {
        uint32_t words[M][4];
        if (DROPS) GPU_UNROLL for (int m = 0; m < M; m++) random.draw(words[m], m * 16, query + n * 8);
        GPU_UNROLL for (int i = 0; i < 2; i++) {
          const RowStatistics row = rows[n * 8 + i];
          GPU_UNROLL for (int m = 0; m < M; m++) {
            GPU_UNROLL for (int e = i; e < 4; e += 2) {
              s[m][n][e] = exponential<CHANGED>(s[m][n][e], row.base, unit);
              const bool drops = DROPS && p.dropout.drops(words[m][e]);
              if (DROPS) d[m][n][e] = drops ? 0 : d[m][n][e] * float(p.dropout.kept);
              d[m][n][e] = s[m][n][e] * (d[m][n][e] - row.delta);
              if (drops) s[m][n][e] = 0;
            }
          }
        }
      }
      GPU_UNROLL for (int m = 0; m < M; m++) {
        as_operand<N>(probabilities[m], s[m][2 * k], s[m][2 * k + 1]);
        as_operand<N>(gradients[m], d[m][2 * k], d[m][2 * k + 1]);
      }
      multiply_step<D>(value_sums, probabilities, grads, k);
      multiply_step<D>(key_sums, gradients, queries, k);
    }
  }
  gpu::cp_async_wait<0>();
  __syncthreads();

  const int row = first + warp_row;
  scale_rows(key_sums, float(p.scale));
  if (DROPS) scale_rows(value_sums, float(p.dropout.kept));
  store_gradient<D>(key_sums, keys + warp_row * D, grad_k, place, row, p.keys - row, p.e);
  store_gradient<D>(value_sums, values + warp_row * D, grad_v, place, row, p.keys - row, p.f);
}

// ---- dQ --------------------------------------------------------------------------------------------------------------

template <int D> struct QueryShape {
  static constexpr int WARP_BLOCKS = 2, QUERIES = TILE_THREADS / 32 * WARP_BLOCKS * 16, KEYS = D == 128 ? 32 : 64;
  static constexpr int ELEMENTS = (2 * QUERIES + 4 * KEYS) * D;  // the queries and dO, and two stages of keys and values
};

template <class N, int D, bool CHANGED, bool DROPS>
__global__ void __launch_bounds__(TILE_THREADS, 2)
attention_query_kernel(const Problem p, const Rows grad, const RowStatistics *statistics, int padded, const Rows grad_q) {
  using S = QueryShape<D>;
  constexpr int M = S::WARP_BLOCKS, KEYS = S::KEYS, QUERIES = S::QUERIES;
  GPU_DYN_SHARED(N, shared);
  N *queries = shared, *grads = queries + QUERIES * D, *stages = grads + QUERIES * D;
  const int blocks = (p.queries + QUERIES - 1) / QUERIES, lane = threadIdx.x % 32;
  const Place place = place_of(p, blocks);
  const int first = (blocks - 1 - place.block) * QUERIES, warp_row = int(threadIdx.x) / 32 * M * 16;
  const int seen = p.causal ? min(p.keys, first + QUERIES) : p.keys;
  const N *next_key = row_of<const N>(p.k, place, 0), *next_value = row_of<const N>(p.v, place, 0);
  auto load_stage = [&](int key, int stage) {
    N *to = stages + stage * 2 * KEYS * D;
    load_tile<KEYS, D, TILE_THREADS>(to, next_key, p.k.row, p.keys - key, p.e);
    load_tile<KEYS, D, TILE_THREADS>(to + KEYS * D, next_value, p.v.row, p.keys - key, p.f);
    next_key += KEYS * p.k.row;
    next_value += KEYS * p.v.row;
  };

  load_tile<QUERIES, D, TILE_THREADS>(queries, row_of<const N>(p.q, place, first), p.q.row, p.queries - first, p.e);
  load_tile<QUERIES, D, TILE_THREADS>(grads, row_of<const N>(grad, place, first), grad.row, p.queries - first, p.f);
  if (seen > 0) load_stage(0, 0);
  gpu::cp_async_commit();
  RowStatistics rows[M][2];
  GPU_UNROLL for (int m = 0; m < M; m++)
    GPU_UNROLL for (int half = 0; half < 2; half++)
      rows[m][half] = statistics[int64_t(place.flat) * padded + first + warp_row + m * 16 + half * 8 + lane / 4];
  float sums[M][D / 8][4] = {};
  const float unit = score_unit<CHANGED>(p);
  const RandomWords<false> random(p, place, first + warp_row, DROPS);
  for (int key = 0, stage = 0; key < seen; key += KEYS, stage ^= 1) {
    gpu::cp_async_wait<0>();
    __syncthreads();
    if (key + KEYS < seen) load_stage(key + KEYS, stage ^ 1);
    gpu::cp_async_commit();
    const N *keys = stages + stage * 2 * KEYS * D, *values = keys + KEYS * D;
    float s[M][KEYS / 8][4] = {}, d[M][KEYS / 8][4] = {};
    multiply_transposed<D>(s, queries, warp_row, keys);
    finish_scores<false, CHANGED>(s, p, place, first + warp_row, key);
    multiply_transposed<D>(d, grads, warp_row, values);
    GPU_UNROLL for (int k = 0; k < KEYS / 16; k++) {
      uint32_t gradients[M][4];
      GPU_UNROLL for (int m = 0; m < M; m++) {
        GPU_UNROLL for (int n = 2 * k; n < 2 * k + 2; n++) {
          if (DROPS) {
            scale_block(d[m][n], float(p.dropout.kept));
            random.drop(d[m][n], p.dropout, m * 16, key + n * 8);
          }
          GPU_UNROLL for (int e = 0; e < 4; e++)
            d[m][n][e] = exponential<CHANGED>(s[m][n][e], rows[m][e / 2].base, unit) * (d[m][n][e] - rows[m][e / 2].delta);
        }
        as_operand<N>(gradients[m], d[m][2 * k], d[m][2 * k + 1]);
      }
      multiply_step<D>(sums, gradients, keys, k);
    }
  }
  gpu::cp_async_wait<0>();
  __syncthreads();

  const int row = first + warp_row;
  scale_rows(sums, float(p.scale));
  store_gradient<D>(sums, queries + warp_row * D, grad_q, place, row, p.queries - row, p.e);
}

// ---- on the host -----------------------------------------------------------------------------------------------------

struct Gradients { const View &grad, &out, &logsumexp, &q, &k, &v; };

template <class T> void backward_on_ordinary_cores(Context &context, const Problem &p, const Gradients &g) {
  const int64_t rows = int64_t(p.all_heads) * p.queries;
  const Scratch delta(context, rows * int64_t(sizeof(T)));
  const int threads = block_threads(256);
  if (rows > 0)
    launch(context, "attention_backward", attention_delta_kernel<T>, blocks_for(rows, threads / 32), threads, 0,
           p, rows_of(g.grad), rows_of(g.out), delta.as<T>());
  const Gradient given{rows_of(g.grad), statistic_of(g.logsumexp), delta.as<T>()};
  launch_simt<T, Result::grad_q>(context, p, given, rows_of(g.q), {});
  launch_simt<T, Result::grad_k>(context, p, given, rows_of(g.k), {});
  launch_simt<T, Result::grad_v>(context, p, given, rows_of(g.v), {});
}

void backward_on_tensor_cores(Context &context, Problem p, const View &q, const View &k, const View &v, const Gradients &g) {
  using Use = Aligned::Use;
  const DType dtype = q.dtype;
  const Aligned aligned_q(context, q, dtype, Use::read), aligned_k(context, k, dtype, Use::read), aligned_v(context, v, dtype, Use::read);
  const Aligned grad(context, g.grad, dtype, Use::read), out(context, g.out, dtype, Use::read);
  const Aligned grad_q(context, g.q, g.q.dtype, Use::written), grad_k(context, g.k, g.k.dtype, Use::written),
    grad_v(context, g.v, g.v.dtype, Use::written);
  p.q = aligned_q.rows();
  p.k = aligned_k.rows();
  p.v = aligned_v.rows();
  const PairedMask mask(context, p);
  p.mask = mask.mask();
  const int padded = int(blocks_for(p.queries, ROW_PADDING)) * ROW_PADDING;
  const int64_t rows = int64_t(p.all_heads) * padded;
  const Scratch statistics(context, rows * int64_t(sizeof(RowStatistics)));
  const RowStatistics *given = statistics.as<RowStatistics>();
  with_tile(dtype, std::max(p.e, p.f), [&](auto element, auto width) {
    using N = decltype(element);
    constexpr int D = decltype(width)::value;
    const bool drops = p.dropout.limit > 0, changed = drops || scores_are_changed(p);
    auto *query_kernel = drops     ? attention_query_kernel<N, D, true, true>
                         : changed ? attention_query_kernel<N, D, true, false>
                                   : attention_query_kernel<N, D, false, false>;
    auto *key_kernel = drops     ? attention_key_kernel<N, D, true, true>
                       : changed ? attention_key_kernel<N, D, true, false>
                                 : attention_key_kernel<N, D, false, false>;
    if (rows > 0) {
      const int threads = block_threads(256);
      launch(context, "attention_backward", attention_rows_kernel<N>, blocks_for(rows * 8, threads), threads, 0,
             p, grad.rows(), out.rows(), statistic_of(g.logsumexp), statistics.as<RowStatistics>(), padded, changed ? 1.0f : LOG2_E);
      using S = QueryShape<D>;
      launch(context, "attention_backward", query_kernel, p.all_heads * blocks_for(p.queries, S::QUERIES), TILE_THREADS,
             S::ELEMENTS * 2, p, grad.rows(), given, padded,
             grad_q.rows());
    }
    using S = KeyShape<D>;
    const int64_t blocks = p.all_heads * blocks_for(p.keys, S::KEYS);
    if (blocks > 0)
      launch(context, "attention_backward", key_kernel, blocks, TILE_THREADS, S::SHARED, p, grad.rows(), given, padded,
             grad_k.rows(), grad_v.rows());
  });
  grad_q.write_back();
  grad_k.write_back();
  grad_v.write_back();
}

}  // namespace
}  // namespace flash

using namespace flash;

void attention_backward(const View &grad, const View &q, const View &k, const View &v, const View *mask, const View &out,
                        const View &logsumexp, const View &grad_q, const View &grad_k, const View &grad_v, double scale, bool causal,
                        const Dropping &dropping) {
  Context &context = context_of(q);
  const Arguments arguments(context, q, k, v, mask, scale, causal, dropping);
  const Problem &p = arguments.problem;
  const Gradients gradients{grad, out, logsumexp, grad_q, grad_k, grad_v};
  if (tensor_cores_take({&q, &k, &v}, {&grad_q, &grad_k, &grad_v})) return backward_on_tensor_cores(context, p, q, k, v, gradients);
  if (compute_type(q.dtype, k.dtype, v.dtype) == DType::f64) backward_on_ordinary_cores<double>(context, p, gradients);
  else backward_on_ordinary_cores<float>(context, p, gradients);
}

}  // namespace castor::cuda
