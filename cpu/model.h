// For models of instructions on pairs of bfloat16 (see gemm_pairs.h and tiles.h), with which tests run where the processor lacks them.
#pragma once
#include "../kernels/convert.h"

namespace castor::CASTOR_ISA {

// One of the two bfloat16 of a pair: the lower half (0) or the upper (1). The instructions take subnormal numbers as zero.
static inline float half_of(uint32_t pair, int half) {
  const uint32_t bits = pair >> 16 * half << 16;
  return bit_cast<float>(bits & 0x7f800000u ? bits : bits & 0x80000000u);
}

}  // namespace castor::CASTOR_ISA
