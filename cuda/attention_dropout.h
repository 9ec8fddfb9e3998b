// The random numbers by which dropout decides about the probabilities that a warp holds. Probability i of (B, H, L, S) uses word i % 4 of a
// block of Philox, as by the op dropout (kernels/philox.h).
#pragma once
#include "attention_tile.h"
#include "block.h"

namespace castor::cuda::flash {

// TRANSPOSED: the rows of the accumulators are keys. Where a row of scores begins with a block of Philox, that is if there is a multiple of
// four keys, the lanes that hold four neighbouring keys share its words, so that each block is computed once.
template <bool TRANSPOSED> class RandomWords {
 public:
  // Prepares the words for accumulators whose first row is `row`.
  __device__ __forceinline__ RandomWords(const Problem &p, const Place &place, int row, bool used)
      : state_(used ? p.dropout.random.now() : RandomState{}), keys_(p.keys), shared_(p.keys % 4 == 0) {
    const int lane = threadIdx.x % 32;
    const int64_t query = TRANSPOSED ? lane % 4 * 2 : row + lane / 4, key = TRANSPOSED ? row + lane / 4 : lane % 4 * 2;
    first_ = uint64_t(int64_t(place.flat) * p.queries + query) * uint64_t(keys_) + uint64_t(key);
  }

  // The words of the 16 x 8 block of accumulators that is `rows` below the first row, and begins with column `column`.
  __device__ __forceinline__ void draw(uint32_t (&words)[4], int rows, int column) const {
    const uint64_t element = first_ + (TRANSPOSED ? uint64_t(column) * uint64_t(keys_) + uint64_t(rows)
                                                  : uint64_t(rows) * uint64_t(keys_) + uint64_t(column));
    if (!shared_) {
      GPU_UNROLL for (int e = 0; e < 4; e++) words[e] = word_of(block(element + step(e)), int(element + step(e)) & 3);
    } else if (TRANSPOSED) {
      exchange_four(words, element);
    } else {
      exchange_two(words, element);
    }
    __syncwarp();  // the instructions of the tensor cores that follow need all lanes
  }

  // Makes the elements of a block 0 that dropout drops.
  __device__ __forceinline__ void drop(float (&x)[4], const Dropout &dropout, int rows, int column) const {
    uint32_t words[4];
    draw(words, rows, column);
    GPU_UNROLL for (int e = 0; e < 4; e++)
      if (dropout.drops(words[e])) x[e] = 0;
  }

 private:
  RandomState state_;
  uint64_t first_;  // the element of this lane in the first row and column 0
  int keys_;
  bool shared_;

  // How far accumulator e is from accumulator 0.
  __device__ __forceinline__ uint64_t step(int e) const {
    return TRANSPOSED ? uint64_t(e % 2) * uint64_t(keys_) + uint64_t(e / 2 * 8) : uint64_t(e / 2 * 8) * uint64_t(keys_) + uint64_t(e % 2);
  }
  __device__ __forceinline__ Words block(uint64_t element) const { return philox(state_.seed, state_.offset, element / 4); }
  static __device__ __forceinline__ uint32_t word_of(const Words &words, int i) {
    return i < 2 ? i == 0 ? words.w[0] : words.w[1] : i == 2 ? words.w[2] : words.w[3];
  }

  // Two neighbouring lanes hold four neighbouring keys of two queries. Each lane computes the block of one query.
  __device__ __forceinline__ void exchange_two(uint32_t (&words)[4], uint64_t element) const {
    const bool second = threadIdx.x % 2;
    const Words own = block(element + (second ? step(2) : 0));
    GPU_UNROLL for (int i = 0; i < 2; i++) {
      const uint32_t other = __shfl_xor_sync(WARP, second ? own.w[i] : own.w[2 + i], 1);
      words[i] = second ? other : own.w[i];
      words[2 + i] = second ? own.w[2 + i] : other;
    }
  }

  // Four lanes hold four neighbouring keys, in each of their four accumulators. Lane j computes the block of accumulator j.
  __device__ __forceinline__ void exchange_four(uint32_t (&words)[4], uint64_t element) const {
    const int j = threadIdx.x / 4 % 4;
    const Words own = block(element + (j < 2 ? j == 0 ? step(0) : step(1) : j == 2 ? step(2) : step(3)));
    uint32_t received[4];  // from the lane whose number differs in the bits i
    received[0] = word_of(own, j);
    GPU_UNROLL for (int i = 1; i < 4; i++) received[i] = __shfl_xor_sync(WARP, word_of(own, j ^ i), 4 * i);
    GPU_UNROLL for (int e = 0; e < 4; e++) {
      const int i = e ^ j;
      words[e] = i < 2 ? i == 0 ? received[0] : received[1] : i == 2 ? received[2] : received[3];
    }
  }
};

}  // namespace castor::cuda::flash
