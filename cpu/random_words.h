// The words of random numbers (kernels/philox.h) of neighbouring elements.
#pragma once
#include "../kernels/philox.h"
#include "tile.h"

namespace castor::CASTOR_ISA {

struct RandomStream { uint64_t seed, offset; };

// The random words of the elements of a tile, filled up to whole Philox blocks. The loop vectorises only if the rounds are in it, and clang
// counts them as too long for that unless it is told.
[[gnu::flatten]] inline void random_words(uint32_t *to, RandomStream s, int64_t first_element, int64_t n, uint64_t part = 0) {
  uint64_t block = part + uint64_t(first_element / 4);
  int64_t blocks = (n + 3) / 4;
  CASTOR_IVDEP
  for (int64_t i = 0; i < blocks; i++) {
    Words w = philox(s.seed, s.offset, block + uint64_t(i));
    for (int k = 0; k < 4; k++) to[i * 4 + k] = w.w[k];
  }
}

}  // namespace castor::CASTOR_ISA
