// Attention whose keys are divided among blocks, which is needed where there are too few queries to fill the device, as in decoding (Dao,
// Haziza, Massa, Sizov: Flash-Decoding; 2023). Each part gives every query a running softmax over its own keys, and a second kernel joins
// them in the order of the parts, so that the result does not depend on the order in which blocks run.
#pragma once
#include "attention.h"
#include "block.h"
#include "split.h"
#include "../kernels/math.h"

namespace castor::cuda::flash {

// The state of the softmax of one query over the keys of one part: the largest score of its keys, or another base near it, and the sum of
// the exponentials of the scores minus the base. The base of a query that sees none of the keys is -infinity.
template <class T> struct PartRow { T top, sum; };

// The results of `count` parts: element [head][query][part]. The sums are those of exponentials times values, in rows of `width`.
template <class T> struct Parts {
  PartRow<T> *rows;
  T *sums;
  int count, width;
  int share;  // the number of keys of a block

  __device__ __forceinline__ int64_t index(int64_t row, int part) const { return row * count + part; }
};

template <class T> class PartialMemory {
 public:
  PartialMemory(Context &context, const Problem &p, int count, int width)
      : count_(count), width_(width), rows_(int64_t(p.all_heads) * p.queries * count),
        memory_(context, rows_ * (int64_t(sizeof(PartRow<T>)) + width * int64_t(sizeof(T)))) {}
  Parts<T> parts(int share) const {
    PartRow<T> *const rows = memory_.as<PartRow<T>>();
    return {rows, reinterpret_cast<T *>(rows + rows_), count_, width_, share};
  }

 private:
  int count_, width_;
  int64_t rows_;
  Scratch memory_;
};

// A block joins the parts of one query, JOINED columns along y. Each warp adds up every so many parts, and the block adds up its warps.
constexpr int JOINED = 128;

template <class T> __global__ void attention_join_kernel(const Problem p, const Parts<T> parts, const Rows out, const Statistic logsumexp) {
  GPU_DYN_SHARED(T, shared);
  constexpr T HIDDEN_SCORE = -std::numeric_limits<T>::infinity();
  const int head = int(blockIdx.x) / p.queries, query = int(blockIdx.x) % p.queries;
  const Place place{head, head / p.heads, head % p.heads, 0};
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, first = int(blockIdx.y) * JOINED;
  const PartRow<T> *rows = parts.rows + parts.index(blockIdx.x, 0);
  const T *sums = parts.sums + parts.index(blockIdx.x, 0) * parts.width;

  T top = HIDDEN_SCORE;
  for (int i = threadIdx.x; i < parts.count; i += blockDim.x) top = rows[i].top > top ? rows[i].top : top;
  top = block_reduce(top, HIDDEN_SCORE, [](T a, T b) { return a > b ? a : b; });
  const T base = top == HIDDEN_SCORE ? T(0) : top;
  T total = 0;
  for (int i = threadIdx.x; i < parts.count; i += blockDim.x) total += rows[i].sum * m::exp(rows[i].top - base);
  total = block_sum(total);

  T joined[JOINED / 32] = {};
#pragma unroll 4
  for (int i = warp; i < parts.count; i += warps) {
    const T weight = m::exp(rows[i].top - base);
    GPU_UNROLL for (int n = 0; n < JOINED / 32; n++) {
      const int column = first + n * 32 + lane;
      if (column < p.f) joined[n] += weight * sums[int64_t(i) * parts.width + column];
    }
  }
  GPU_UNROLL for (int n = 0; n < JOINED / 32; n++) shared[warp * JOINED + n * 32 + lane] = joined[n];
  __syncthreads();
  const T factor = total == 0 ? T(0) : T(p.dropout.kept) / total;
  for (int x = threadIdx.x; x < min(JOINED, p.f - first); x += blockDim.x) {
    T sum = 0;
    for (int i = 0; i < warps; i++) sum += shared[i * JOINED + x];
    store<T>(out.data, out.dtype, offset_of(out, place, query) + (first + x) * out.column, sum * factor);
  }
  if (threadIdx.x == 0 && first == 0) store<T>(logsumexp.data, logsumexp.dtype, offset_of(logsumexp, place, query), base + m::log(total));
}

template <class T> void join_parts(Context &context, const Problem &p, const Parts<T> &parts, const Rows &out, const Statistic &logsumexp) {
  const int threads = block_threads(256);
  const int64_t shared = threads / 32 * JOINED * int64_t(sizeof(T));
  const Grid grid(int64_t(p.all_heads) * p.queries, std::max<int64_t>(1, blocks_for(p.f, JOINED)));
  launch(context, "attention", attention_join_kernel<T>, grid, threads, shared, p, parts, out, logsumexp);
}

}  // namespace castor::cuda::flash
