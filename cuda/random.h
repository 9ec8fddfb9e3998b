// The source of a kernel's random numbers.
#pragma once
#include "gpu.h"

namespace castor::cuda {

// The seed and the offset of a Philox stream. A replay of a graph uses other numbers than its capture did: then base, in device memory,
// holds the seed and a number to add to the offset.
struct RandomState {
  uint64_t seed, offset;
  const uint64_t *base;

  __device__ __forceinline__ RandomState now() const { return base ? RandomState{base[0], offset + base[1], nullptr} : *this; }
};

}  // namespace castor::cuda
