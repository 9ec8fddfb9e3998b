// The number of ops of each kind.
#pragma once
#include "../kernels/ops.h"

namespace castor {

#define CASTOR_ONE(...) +1
#define UNARY CASTOR_ONE
#define BINARY CASTOR_ONE
#define COMPARE CASTOR_ONE
#define TERNARY CASTOR_ONE
constexpr int unary_ops = 0
#include "../kernels/unary.inc"
  ;
constexpr int binary_ops = 0
#include "../kernels/binary.inc"
  ;
constexpr int compare_ops = 0
#include "../kernels/compare.inc"
  ;
constexpr int ternary_ops = 0
#include "../kernels/ternary.inc"
  ;
#undef UNARY
#undef BINARY
#undef COMPARE
#undef TERNARY

constexpr int reduce_ops = CASTOR_REDUCE(CASTOR_ONE);
constexpr int scan_ops = CASTOR_SCAN(CASTOR_ONE);
constexpr int softmax_ops = CASTOR_SOFTMAX(CASTOR_ONE);
constexpr int norm_ops = CASTOR_NORM(CASTOR_ONE);
constexpr int batch_group_norm_ops = CASTOR_BATCH_GROUP_NORM(CASTOR_ONE);
constexpr int gather_ops = CASTOR_GATHER(CASTOR_ONE);
constexpr int scatter_ops = CASTOR_SCATTER(CASTOR_ONE);
constexpr int activation_ops = CASTOR_ACTIVATION(CASTOR_ONE);
constexpr int convolution_ops = CASTOR_CONVOLUTION(CASTOR_ONE);
constexpr int pool_ops = CASTOR_POOL(CASTOR_ONE);
constexpr int random_ops = CASTOR_RANDOM(CASTOR_ONE);
constexpr int expect_ops = CASTOR_EXPECT(CASTOR_ONE);
#undef CASTOR_ONE

}  // namespace castor
