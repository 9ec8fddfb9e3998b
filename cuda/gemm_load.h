// How tiles of a factor get from memory to a panel: fetch() starts what land() ends, so that a fetch may wait in registers meanwhile.
#pragma once
#include "gemm_panel.h"

namespace castor::cuda::tensor {

// Moves a factor whose memory runs along one index in 16-byte aligned rows.
template <class P, int THREADS> class Rows {
 public:
  using Panel = P;
  using T = typename P::T;

  static constexpr int TABLE = 0;

  __device__ Rows(const Factor &f, int64_t offset, int32_t x, int32_t x_end, int32_t k, int32_t k_end, Spot *) {
    const int along = threadIdx.x % P::PER_ROW * CHUNK<T>, across = threadIdx.x / P::PER_ROW;
    x += P::ALONG_K ? across : along;
    k += P::ALONG_K ? along : across;
    const int64_t row = (P::ALONG_K ? f.x : f.k).stride[2] * int64_t(sizeof(T));
    source_ = f.data + (offset + (P::ALONG_K ? k : x)) * int64_t(sizeof(T)) + (P::ALONG_K ? x : k) * row;
    step_ = STEP * row;
    place_ = P::place(P::ALONG_K ? across : along, P::ALONG_K ? along : across);
    left_ = k_end - k;
    if (P::ALONG_K) {
      GPU_UNROLL for (int i = 0; i < COUNT; i++) there_ |= uint32_t(x + i * STEP < x_end) << i;
    } else {
      there_ = clamped(x_end - x);
    }
  }

  // The next K of k.
  __device__ __forceinline__ void fetch(char *panel) {
    const char *from = source_;
    const int bytes = P::ALONG_K ? clamped(left_) : int(there_);
    GPU_UNROLL for (int i = 0; i < COUNT; i++) {
      const bool there = P::ALONG_K ? there_ >> i & 1 : i * STEP < left_;
      gpu::cp_async16(panel + place_ + i * STEP * P::ROW_BYTES, from, there ? bytes : 0);
      from += step_;
    }
    source_ = P::ALONG_K ? source_ + P::K * sizeof(T) : from;
    left_ -= P::K;
  }

  __device__ __forceinline__ void land(char *) {}

 private:
  static constexpr int STEP = THREADS / P::PER_ROW, COUNT = P::ROWS / STEP;  // rows at once, and how often
  static_assert(STEP % P::PERIOD == 0 && COUNT * STEP == P::ROWS && COUNT <= 32, "a thread's rows have their chunks in the same places");
  const char *source_;
  int64_t step_;
  int place_;
  int32_t left_;           // of k
  uint32_t there_ = 0;     // the rows that exist, a bit each, or the bytes that exist of each row

  static __device__ __forceinline__ int clamped(int32_t elements) { return min(max(elements, 0), CHUNK<T>) * int(sizeof(T)); }
};

// Moves elements of a factor in any layout, one by one, through registers into a panel whose rows run along k. Where the next tile's k
// leads is worked out once for all rows, in a table of two times K spots in shared memory.
template <class P, int X, int THREADS> class Gather {
 public:
  using Panel = P;
  using T = typename P::T;
  static constexpr int TABLE = 2 * P::K;

  // Followed by a barrier, as every fetch must be.
  __device__ Gather(const Factor &f, int64_t offset, int32_t x, int32_t x_end, int32_t k, int32_t k_end, Spot *table)
      : factor_(f), table_(table), next_(k), k_end_(k_end) {
    GPU_UNROLL for (int i = 0; i < COUNT; i++) {
      spot_[i] = f.x.spot(uint32_t(x + x_of(i)));
      spot_[i].offset += offset;
      if (x + x_of(i) >= x_end) spot_[i].y = OUTSIDE;
    }
    tabulate();
  }

  __device__ __forceinline__ void fetch(char *) {
    const Spot *table = table_ + slot_ * P::K;
    tabulate();
    GPU_UNROLL for (int i = 0; i < COUNT; i++)
      GPU_UNROLL for (int e = 0; e < CHUNK<T>; e++) {
        const Spot q = table[chunk_of(i) * CHUNK<T> + e];
        value_[i][e] = factor_.inside(spot_[i], q) ? reinterpret_cast<const Bits *>(factor_.data)[spot_[i].offset + q.offset] : Bits(0);
      }
  }

  __device__ __forceinline__ void land(char *panel) {
    struct alignas(16) Chunk { Bits v[CHUNK<T>]; };
    GPU_UNROLL for (int i = 0; i < COUNT; i++) {
      Chunk chunk;
      GPU_UNROLL for (int e = 0; e < CHUNK<T>; e++) chunk.v[e] = value_[i][e];
      *reinterpret_cast<Chunk *>(panel + P::place(x_of(i), chunk_of(i) * CHUNK<T>)) = chunk;
    }
  }

 private:
  static_assert(P::ALONG_K, "a chunk holds neighbours along k");
  using Bits = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;
  static constexpr int COUNT = X * P::PER_ROW / THREADS;        // chunks of a thread
  static constexpr int32_t OUTSIDE = -(1 << 30);                // a coordinate that no other brings back inside
  const Factor &factor_;
  Spot *table_;
  int32_t next_, k_end_;
  int slot_ = 1;                                                // of the table, written last
  Spot spot_[COUNT];
  Bits value_[COUNT][CHUNK<T>];

  __device__ __forceinline__ void tabulate() {
    slot_ ^= 1;
    if (threadIdx.x < P::K) {
      Spot q = factor_.k.spot(uint32_t(next_ + int(threadIdx.x)));
      if (next_ + int(threadIdx.x) >= k_end_) q.y = OUTSIDE;
      table_[slot_ * P::K + threadIdx.x] = q;
    }
    next_ += P::K;
  }
  // Neighbouring threads take neighbours in memory.
  __device__ __forceinline__ int x_of(int i) const {
    return factor_.along_k ? int(threadIdx.x) / P::PER_ROW + i * (THREADS / P::PER_ROW) : int(threadIdx.x) % X;
  }
  __device__ __forceinline__ int chunk_of(int i) const {
    return factor_.along_k ? int(threadIdx.x) % P::PER_ROW : int(threadIdx.x) / X + i * (THREADS / X);
  }
};

}  // namespace castor::cuda::tensor
