// Loads tiles of an operand from memory into a panel in shared memory. start_load() begins a load and finish_load() completes it;
// in between the elements may be in registers.
#pragma once
#include "gemm_panel.h"

namespace castor::cuda::tensor {

// Loads an operand in whole rows (GemmOperand::whole), by asynchronous copies of 16 bytes.
template <class P, int THREADS> class Rows {
 public:
  using Panel = P;
  using T = typename P::T;

  static constexpr int TABLE = 0;

  __device__ Rows(const GemmOperand &f, int64_t offset, int32_t x, int32_t x_end, int32_t k, int32_t k_end, Position *) {
    const int along = threadIdx.x % P::PER_ROW * CHUNK<T>, across = threadIdx.x / P::PER_ROW;
    x += P::ALONG_K ? across : along;
    k += P::ALONG_K ? along : across;
    const int64_t row = (P::ALONG_K ? f.x : f.k).stride[2] * int64_t(sizeof(T));
    source_ = f.data + (offset + (P::ALONG_K ? k : x)) * int64_t(sizeof(T)) + (P::ALONG_K ? x : k) * row;
    step_ = STEP * row;
    chunk_offset_ = P::chunk_offset(P::ALONG_K ? across : along, P::ALONG_K ? along : across);
    left_ = k_end - k;
    if (P::ALONG_K) {
      GPU_UNROLL for (int i = 0; i < COUNT; i++) there_ |= uint32_t(x + i * STEP < x_end) << i;
    } else if (x >= x_end) {
      left_ = 0;
    }
  }

  // Starts the load of the next K of k.
  __device__ __forceinline__ void start_load(char *panel) {
    const char *from = source_;
    GPU_UNROLL for (int i = 0; i < COUNT; i++) {
      const bool there = P::ALONG_K ? left_ > 0 && (there_ >> i & 1) : i * STEP < left_;
      gpu::cp_async16_if(there, panel + chunk_offset_ + i * STEP * P::ROW_BYTES, from);
      from += step_;
    }
    source_ = P::ALONG_K ? source_ + P::K * sizeof(T) : from;
    left_ -= P::K;
  }

  __device__ __forceinline__ void finish_load(char *) {}

 private:
  static constexpr int STEP = THREADS / P::PER_ROW, COUNT = P::ROWS / STEP;  // rows that are copied at once, number of copies of a thread
  static_assert(STEP % P::PERIOD == 0 && COUNT * STEP == P::ROWS && COUNT <= 32, "a thread's rows have their chunks in the same places");
  const char *source_;
  int64_t step_;
  int chunk_offset_;
  int32_t left_;        // remaining steps of k; none for a thread whose x are all beyond the end
  uint32_t there_ = 0;  // for rows along k: one bit for each row that exists
};

// Loads the elements of an operand of any layout one by one, through registers, into a panel whose rows run along k. The positions of the
// next K of k are the same for all rows. They are computed once, in a table of two times K positions in shared memory.
template <class P, int X, int THREADS> class Gather {
 public:
  using Panel = P;
  using T = typename P::T;
  static constexpr int TABLE = 2 * P::K;

  // The caller needs a barrier after it, as after every start_load().
  __device__ Gather(const GemmOperand &f, int64_t offset, int32_t x, int32_t x_end, int32_t k, int32_t k_end, Position *table)
      : operand_(f), table_(table), next_(k), k_end_(k_end) {
    GPU_UNROLL for (int i = 0; i < COUNT; i++) {
      position_[i] = f.x.position(uint32_t(x + x_of(i)));
      position_[i].offset += offset;
      if (x + x_of(i) >= x_end) position_[i].y = OUTSIDE;
    }
    tabulate();
  }

  __device__ __forceinline__ void start_load(char *) {
    const Position *table = table_ + slot_ * P::K;
    tabulate();
    GPU_UNROLL for (int i = 0; i < COUNT; i++)
      GPU_UNROLL for (int e = 0; e < CHUNK<T>; e++) {
        const Position q = table[chunk_of(i) * CHUNK<T> + e];
        value_[i][e] =
            operand_.inside(position_[i], q) ? reinterpret_cast<const Bits *>(operand_.data)[position_[i].offset + q.offset] : Bits(0);
      }
  }

  __device__ __forceinline__ void finish_load(char *panel) {
    struct alignas(16) Chunk { Bits v[CHUNK<T>]; };
    GPU_UNROLL for (int i = 0; i < COUNT; i++) {
      Chunk chunk;
      GPU_UNROLL for (int e = 0; e < CHUNK<T>; e++) chunk.v[e] = value_[i][e];
      *reinterpret_cast<Chunk *>(panel + P::chunk_offset(x_of(i), chunk_of(i) * CHUNK<T>)) = chunk;
    }
  }

 private:
  static_assert(P::ALONG_K, "a chunk holds neighbours along k");
  using Bits = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;
  static constexpr int COUNT = X * P::PER_ROW / THREADS;        // chunks of a thread
  static constexpr int32_t OUTSIDE = -(1 << 30);                // a coordinate that stays outside the image whatever is added to it
  const GemmOperand &operand_;
  Position *table_;
  int32_t next_, k_end_;
  int slot_ = 1;                                                // half of the table that was written last
  Position position_[COUNT];
  Bits value_[COUNT][CHUNK<T>];

  __device__ __forceinline__ void tabulate() {
    slot_ ^= 1;
    if (threadIdx.x < P::K) {
      Position q = operand_.k.position(uint32_t(next_ + int(threadIdx.x)));
      if (next_ + int(threadIdx.x) >= k_end_) q.y = OUTSIDE;
      table_[slot_ * P::K + threadIdx.x] = q;
    }
    if (P::K % 32) __syncwarp();  // ldmatrix and mma follow
    next_ += P::K;
  }
  // Neighbouring threads read neighbouring elements in memory.
  __device__ __forceinline__ int x_of(int i) const {
    return operand_.along_k ? int(threadIdx.x) / P::PER_ROW + i * (THREADS / P::PER_ROW) : int(threadIdx.x) % X;
  }
  __device__ __forceinline__ int chunk_of(int i) const {
    return operand_.along_k ? int(threadIdx.x) % P::PER_ROW : int(threadIdx.x) / X + i * (THREADS / X);
  }
};

}  // namespace castor::cuda::tensor
