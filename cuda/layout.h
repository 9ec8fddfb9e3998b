// From the flat index of an element (or row) to its place in each operand, on the device.
#pragma once
#include "../kernels/loop.h"
#include "gpu.h"

namespace castor::cuda {

// Division of 0 .. 2^31 - 1 by a constant as a multiplication (Granlund, Montgomery: Division by invariant integers; 1994).
struct Divider {
  uint32_t divisor, magic, shift;

  Divider() = default;
  explicit Divider(uint32_t d) : divisor(d), shift(0) {
    while (shift < 32 && (uint64_t(1) << shift) < d) shift++;
    magic = uint32_t(((uint64_t(1) << 32) * ((uint64_t(1) << shift) - d)) / d + 1);
  }
  __device__ __forceinline__ uint32_t quotient(uint32_t n) const { return (__umulhi(n, magic) + n) >> shift; }
};

// Of N operands. The index counts in row-major order of the loop's dimensions and is below 2^31.
template <int N> struct Layout {
  int rank;
  Divider size[CASTOR_MAX_RANK];
  int64_t stride[N][CASTOR_MAX_RANK];

  __device__ __forceinline__ void offsets(uint32_t index, int64_t (&offset)[N]) const {
    GPU_UNROLL for (int k = 0; k < N; k++) offset[k] = 0;
    for (int d = rank - 1; d >= 0; d--) {
      const uint32_t rest = size[d].quotient(index), i = index - rest * size[d].divisor;
      index = rest;
      GPU_UNROLL for (int k = 0; k < N; k++) offset[k] += i * stride[k][d];
    }
  }
};

// Of the outermost `rank` dimensions of a loop: all of them, or all but the innermost for an index of rows.
template <int N> Layout<N> make_layout(const Loop<N> &loop, int rank) {
  Layout<N> layout{};
  layout.rank = rank < 0 ? 0 : rank;
  for (int d = 0; d < layout.rank; d++) {
    layout.size[d] = Divider(uint32_t(loop.size[d]));
    for (int k = 0; k < N; k++) layout.stride[k][d] = loop.stride[k][d];
  }
  return layout;
}

}  // namespace castor::cuda
