// Where a kernel's random numbers come from.
#pragma once
#include "gpu.h"

namespace castor::cuda {

// Seed and offset of a Philox stream. A captured graph is replayed with other numbers than it was captured with: then base, in
// device memory, holds the seed and a number to add to offset.
struct RandomState {
  uint64_t seed, offset;
  const uint64_t *base;

  __device__ __forceinline__ RandomState now() const { return base ? RandomState{base[0], offset + base[1], nullptr} : *this; }
};

}  // namespace castor::cuda
