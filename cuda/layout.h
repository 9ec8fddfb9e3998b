// Computes, on the device, the offset of an element (or row) in each operand from its flat index.
#pragma once
#include "../kernels/loop.h"
#include "gpu.h"

namespace castor::cuda {

// The kernels count elements, rows and results with 32 bits. Every number that a kernel divides, or divides by, passes through here: that
// of a layout and of a Divider; launch.h checks the blocks. An op that has more of them is an error.
inline int64_t expect_countable(int64_t n) {
  if (n > INT32_MAX)
    fail(CASTOR_SHAPE,
         "the kernels of a GPU count up to %d rows, results or vectors, and here are %lld. Split the tensor along an axis with narrow(), "
         "compute the parts one after the other, and join the results",
         INT32_MAX, (long long)n);
  return n;
}

// Division of 0 .. 2^31 - 1 by a constant, as a multiplication (Granlund, Montgomery: Division by invariant integers using multiplication;
// 1994).
struct Divider {
  uint32_t divisor, magic, shift;

  Divider() = default;
  explicit Divider(int64_t size) : divisor(uint32_t(expect_countable(size))), shift(0) {
    const uint32_t d = divisor;
    while (shift < 32 && (uint64_t(1) << shift) < d) shift++;
    magic = uint32_t(((uint64_t(1) << 32) * ((uint64_t(1) << shift) - d)) / d + 1);
  }
  __device__ __forceinline__ uint32_t quotient(uint32_t n) const { return (__umulhi(n, magic) + n) >> shift; }
};

// The layout of N operands. The index counts in the row-major order of the loop's dimensions and is below 2^31.
template <int N> struct Layout {
  int rank;
  Divider size[CASTOR_MAX_RANK];
  int64_t stride[N][CASTOR_MAX_RANK];

  // The offsets of the elements at M indices.
  template <int M> __device__ __forceinline__ void offsets(uint32_t (&index)[M], int64_t (&offset)[M][N]) const {
    GPU_UNROLL for (int i = 0; i < M; i++)
      GPU_UNROLL for (int k = 0; k < N; k++) offset[i][k] = 0;
    GPU_NO_UNROLL for (int d = rank - 1; d >= 0; d--) {
      GPU_UNROLL for (int i = 0; i < M; i++) {
        const uint32_t rest = d > 0 ? size[d].quotient(index[i]) : 0, at = index[i] - rest * size[d].divisor;
        index[i] = rest;
        GPU_UNROLL for (int k = 0; k < N; k++) offset[i][k] += at * stride[k][d];
      }
    }
  }
  __device__ __forceinline__ void offsets(uint32_t index, int64_t (&offset)[N]) const {
    uint32_t one[1] = {index};
    offsets(one, reinterpret_cast<int64_t (&)[1][N]>(offset));
  }
};

// The layout of the outermost `rank` dimensions of a loop: all of them, or all but the innermost for an index of rows.
template <int N> Layout<N> make_layout(const Loop<N> &loop, int rank) {
  Layout<N> layout{};
  layout.rank = rank < 0 ? 0 : rank;
  int64_t counted = 1;
  for (int d = 0; d < layout.rank; d++) {
    counted = expect_countable(counted * loop.size[d]);
    layout.size[d] = Divider(loop.size[d]);
    for (int k = 0; k < N; k++) layout.stride[k][d] = loop.stride[k][d];
  }
  return layout;
}

// Calls f(part, offset, first) for parts of a loop that a 32-bit index can count, in row-major order, with the offset in elements at which
// the part begins in each operand, and the index in the whole loop of its first element.
constexpr int64_t MOST_ELEMENTS = int64_t(1) << 30;

template <int N> int64_t elements(const Loop<N> &loop) { return loop.outer() * loop.inner(); }

template <int N, class F> void for_each_part(const Loop<N> &loop, const int64_t (&offset)[N], int64_t first, F &f) {
  if (elements(loop) <= MOST_ELEMENTS) return f(loop, offset, first);
  int d = 0;
  while (loop.size[d] == 1) d++;
  Loop<N> low = loop, high = loop;
  low.size[d] = loop.size[d] > 64 ? loop.size[d] / 2 / 32 * 32 : loop.size[d] / 2;  // a part begins where a vector access may
  high.size[d] = loop.size[d] - low.size[d];
  int64_t above[N];
  for (int k = 0; k < N; k++) above[k] = offset[k] + low.size[d] * loop.stride[k][d];
  for_each_part(low, offset, first, f);
  for_each_part(high, above, first + elements(low), f);
}
template <int N, class F> void for_each_part(const Loop<N> &loop, F f) {
  const int64_t none[N] = {};
  for_each_part(loop, none, 0, f);
}

}  // namespace castor::cuda
