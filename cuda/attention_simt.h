// Attention without tensor cores, for any dtype, layout and head size. One kernel computes the output or one of the gradients. A block owns
// a tile of 64 x 64 of the result and walks over the other axis of the scores:
// sums (rows, columns) += weights (rows, others) x (others, columns).
// The weights are computed from q k' and, for the gradients of the scores, from dO v'.
#pragma once
#include "../kernels/math.h"
#include "attention_parts.h"

namespace castor::cuda::flash {

enum class Result { out, grad_q, grad_k, grad_v };

template <class T> struct Simt {
  // LINE spreads the rows over the banks and keeps them aligned to 16 bytes.
  static constexpr int THREADS = 256, SIDE = 64, DEPTH = 32, LINE = SIDE + 4;
  static constexpr int SHARED = 2 * SIDE * LINE * int(sizeof(T));
  static constexpr T hidden = -std::numeric_limits<T>::infinity();

  // Thread (y, x) of 16 x 16 computes the rows from 4 y and the columns from 4 x of each product.
  struct alignas(16) Four { T v[4]; };
  static __device__ __forceinline__ Four four(const T *p) { return *reinterpret_cast<const Four *>(p); }
  static __device__ __forceinline__ void multiply(T (&sums)[4][4], const T *a, const T *b) {
    const Four left = four(a + threadIdx.x / 16 * 4), right = four(b + threadIdx.x % 16 * 4);
    GPU_UNROLL for (int i = 0; i < 4; i++)
      GPU_UNROLL for (int j = 0; j < 4; j++) sums[i][j] += left.v[i] * right.v[j];
  }

  // Rows of a tensor from the element `offset` on, of which the first `rows` exist.
  struct Part { const Rows &x; int64_t offset; int rows; };

  // Loads tile[column][row] of DEPTH columns (TRANSPOSED), or tile[row][column] of SIDE columns. Elements that do not exist are zero.
  template <bool TRANSPOSED> static __device__ __forceinline__ void load_part(T *tile, const Part &part, int column, int columns) {
    constexpr int WIDTH = TRANSPOSED ? DEPTH : SIDE, LANES = TRANSPOSED ? 8 : SIDE;  // neighbouring threads read LANES columns
    with_float_dtype(part.x.dtype, [&](auto element) {
      using S = decltype(element);
      const S *from = reinterpret_cast<const S *>(part.x.data) + part.offset;
#pragma unroll 2
      for (int i = 0; i < SIDE * WIDTH / THREADS; i++) {
        const int row = int(threadIdx.x) / LANES + i / (WIDTH / LANES) * (THREADS / LANES),
                  at = int(threadIdx.x) % LANES + i % (WIDTH / LANES) * LANES;
        const bool exists = row < part.rows && column + at < columns;
        tile[TRANSPOSED ? at * LINE + row : row * LINE + at] =
            exists ? convert<T>(from[row * part.x.row + (column + at) * part.x.column]) : T(0);
      }
    });
  }

  // The scalar products of all rows of a with all rows of b.
  static __device__ __forceinline__ void dot(T (&sums)[4][4], T *shared, const Part &a, const Part &b, int columns) {
    for (int column = 0; column < columns; column += DEPTH) {
      __syncthreads();
      load_part<true>(shared, a, column, columns);
      load_part<true>(shared + DEPTH * LINE, b, column, columns);
      __syncthreads();
      for (int k = 0; k < min(DEPTH, columns - column); k++) multiply(sums, shared + k * LINE, shared + (DEPTH + k) * LINE);
    }
  }

  // Reduces over the 16 threads that share rows.
  template <class Combine> static __device__ __forceinline__ T reduce_row(T x, Combine combine) {
    GPU_UNROLL for (int distance = 8; distance > 0; distance /= 2) x = combine(x, __shfl_xor_sync(WARP, x, distance));
    return x;
  }

  static __device__ __forceinline__ T score(T dot, const Problem &p, const Place &place, int query, int key) {
    if (query >= p.queries || key >= p.keys || (p.causal && key > query)) return hidden;
    const T x = dot * T(p.scale);
    if (!p.mask.data) return x;
    const int64_t at = place.batch * p.mask.batch + place.head * p.mask.head + query * p.mask.query + key * p.mask.key;
    if (p.mask.dtype == DType::boolean) return load<T>(p.mask.data, DType::boolean, at) != 0 ? x : hidden;
    return x + load_float<T>(p.mask.data, p.mask.dtype, at);
  }
};

// Which of the 4 x 4 probabilities from (query, key) on dropout drops, four bits for each query. Those of neighbouring keys are in one or
// two blocks of Philox.
__device__ __forceinline__ unsigned dropped_of(const Problem &p, const RandomState &random, const Place &place, int query, int key) {
  unsigned bits = 0;
  GPU_UNROLL for (int n = 0; n < 4; n++) {
    const uint64_t element = uint64_t(int64_t(place.flat) * p.queries + query + n) * uint64_t(p.keys) + uint64_t(key);
    const int before = int(element % 4);
    unsigned both = 0;  // a bit for each of the eight words
    for (int block = 0; block < (before ? 2 : 1); block++) {
      const Words words = philox(random.seed, random.offset, element / 4 + uint64_t(block));
      GPU_UNROLL for (int i = 0; i < 4; i++) both |= unsigned(p.dropout.drops(words.w[i])) << (4 * block + i);
    }
    bits |= (both >> before & 15) << 4 * n;
  }
  return bits;
}

// The inputs of the gradients besides the problem. delta is rowsum(dO O), a T for each row of each head.
struct Gradient {
  Rows grad;
  Statistic logsumexp;
  const void *delta;
};

// The running softmax of a row, as in attention.cu: turns scores into exponentials, and rescales the earlier sums when the maximum rises.
template <class T> struct RunningRow {
  T top = Simt<T>::hidden, sum = 0;

  __device__ __forceinline__ T base() const { return top == Simt<T>::hidden ? T(0) : top; }
  __device__ __forceinline__ void update(T (&s)[4], T (&sums)[4]) {
    const T before = top;
    GPU_UNROLL for (int j = 0; j < 4; j++) top = s[j] > top ? s[j] : top;
    top = Simt<T>::reduce_row(top, [](T a, T b) { return a > b ? a : b; });
    const T shrink = m::exp(before - base());
    T added = 0;
    GPU_UNROLL for (int j = 0; j < 4; j++) {
      s[j] = m::exp(s[j] - base());
      added += s[j];
      sums[j] *= shrink;
    }
    sum = sum * shrink + Simt<T>::reduce_row(added, Sum{});
  }
};

template <class T, Result RESULT> __global__ void __launch_bounds__(Simt<T>::THREADS, sizeof(T) == 4 ? 2 : 1)
    attention_simt_kernel(const Problem p, const Gradient g, const Rows result, const Statistic logsumexp, const Parts<T> parts) {
  using S = Simt<T>;
  using Part = typename S::Part;
  constexpr bool OUT = RESULT == Result::out, BY_KEYS = RESULT == Result::grad_k || RESULT == Result::grad_v;
  constexpr bool OF_SCORES = RESULT == Result::grad_q || RESULT == Result::grad_k;
  GPU_DYN_SHARED(T, shared);
  T *weights = shared + S::SIDE * S::LINE;
  const int rows = BY_KEYS ? p.keys : p.queries, others = BY_KEYS ? p.queries : p.keys, columns = OF_SCORES ? p.e : p.f;
  const Place place = place_of(p, (rows + S::SIDE - 1) / S::SIDE);
  const int first = place.block * S::SIDE, column = int(blockIdx.y) * S::SIDE;
  const int row = first + int(threadIdx.x) / 16 * 4, x = int(threadIdx.x) % 16 * 4;  // of this thread
  int begin = BY_KEYS && p.causal ? first : 0, end = !BY_KEYS && p.causal ? min(others, first + S::SIDE) : others;
  if (OUT && parts.count > 0) begin = int(blockIdx.z) * parts.share, end = min(end, begin + parts.share);
  auto part = [&](const Rows &of, int from, int count) { return Part{of, offset_of(of, place, from), count - from}; };

  const bool drops = p.dropout.limit > 0;
  const RandomState random = drops ? p.dropout.random.now() : RandomState{};
  RunningRow<T> running[4];
  T sums[4][4] = {};
  for (int other = begin; other < end; other += S::SIDE) {
    T s[4][4] = {}, d[4][4] = {};
    S::dot(s, shared, part(BY_KEYS ? p.k : p.q, first, rows), part(BY_KEYS ? p.q : p.k, other, others), p.e);
    if (OF_SCORES) S::dot(d, shared, part(BY_KEYS ? p.v : g.grad, first, rows), part(BY_KEYS ? g.grad : p.v, other, others), p.f);
    T base[4], delta[4];  // of the four queries that this thread computes with
    if (!OUT) {
      GPU_UNROLL for (int n = 0; n < 4; n++) {
        const int query = BY_KEYS ? other + x + n : row + n;
        const bool exists = query < p.queries;
        const T lse = exists ? load_float<T>(g.logsumexp.data, g.logsumexp.dtype, offset_of(g.logsumexp, place, query)) : S::hidden;
        base[n] = lse == S::hidden ? -S::hidden : lse;
        delta[n] = OF_SCORES && exists ? static_cast<const T *>(g.delta)[int64_t(place.flat) * p.queries + query] : T(0);
      }
    }
    const unsigned dropped = drops ? dropped_of(p, random, place, BY_KEYS ? other + x : row, BY_KEYS ? row : other + x) : 0;
    auto drop = [&](T &value, int i, int j) {
      if (dropped >> (BY_KEYS ? 4 * j + i : 4 * i + j) & 1) value = 0;
    };
    GPU_UNROLL for (int i = 0; i < 4; i++) {
      GPU_UNROLL for (int j = 0; j < 4; j++) {
        const int query = BY_KEYS ? other + x + j : row + i, key = BY_KEYS ? row + i : other + x + j, n = BY_KEYS ? j : i;
        s[i][j] = S::score(s[i][j], p, place, query, key);
        if (!OUT) s[i][j] = m::exp(s[i][j] - base[n]);
        if (OF_SCORES) {
          if (drops) d[i][j] *= T(p.dropout.kept), drop(d[i][j], i, j);
          s[i][j] *= (d[i][j] - delta[n]) * T(p.scale);
        }
      }
      if (OUT) running[i].update(s[i], sums[i]);
      if (!OF_SCORES) GPU_UNROLL for (int j = 0; j < 4; j++) drop(s[i][j], i, j);
    }
    __syncthreads();
    GPU_UNROLL for (int j = 0; j < 4; j++)
      *reinterpret_cast<typename S::Four *>(weights + (x + j) * S::LINE + row - first) = {{s[0][j], s[1][j], s[2][j], s[3][j]}};
    const Rows &factor = RESULT == Result::out ? p.v : RESULT == Result::grad_q ? p.k : RESULT == Result::grad_k ? p.q : g.grad;
    S::template load_part<false>(shared, part(factor, other, others), column, columns);
    __syncthreads();
    for (int k = 0; k < min(S::SIDE, others - other); k++) S::multiply(sums, weights + k * S::LINE, shared + k * S::LINE);
  }

  GPU_UNROLL for (int i = 0; i < 4; i++) {
    if (row + i >= rows) break;
    if (OUT && parts.count > 0) {
      const int64_t at = parts.index(int64_t(place.flat) * p.queries + row + i, int(blockIdx.z));
      if (column + x == 0) parts.rows[at] = {running[i].top, running[i].sum};
      GPU_UNROLL for (int j = 0; j < 4; j++)
        if (column + x + j < columns) parts.sums[at * parts.width + column + x + j] = sums[i][j];
      continue;
    }
    const T sum = running[i].sum, kept = T(p.dropout.kept), factor = OF_SCORES ? T(1) : !OUT ? kept : sum == 0 ? T(0) : kept / sum;
    GPU_UNROLL for (int j = 0; j < 4; j++) {
      if (column + x + j < columns)
        store<T>(result.data, result.dtype, offset_of(result, place, row + i) + (column + x + j) * result.column, sums[i][j] * factor);
    }
    if (OUT && column + x == 0)
      store<T>(logsumexp.data, logsumexp.dtype, offset_of(logsumexp, place, row + i), running[i].base() + m::log(sum));
  }
}

template <class T, Result RESULT>
void launch_simt(Context &context, const Problem &p, const Gradient &g, const Rows &result, const Statistic &logsumexp,
                 const Parts<T> &parts = {}) {
  using S = Simt<T>;
  constexpr bool BY_KEYS = RESULT == Result::grad_k || RESULT == Result::grad_v,
                 OF_SCORES = RESULT == Result::grad_q || RESULT == Result::grad_k;
  const int64_t blocks = p.all_heads * blocks_for(BY_KEYS ? p.keys : p.queries, S::SIDE);
  const int64_t columns = std::max<int64_t>(1, blocks_for(OF_SCORES ? p.e : p.f, S::SIDE));
  if (blocks == 0) return;
  launch(context, "attention", attention_simt_kernel<T, RESULT>, Grid(blocks, columns, std::max(1, parts.count)),
         S::THREADS, S::SHARED, p, g, result, logsumexp, parts);
}

}  // namespace castor::cuda::flash
