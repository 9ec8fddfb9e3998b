// Declarations of the functions in the table of backend.h, for the instruction set that is being compiled.
#pragma once
#include <type_traits>
#include "../abi/backend.h"

#ifndef CASTOR_ISA
#define CASTOR_ISA generic
#endif

#define CASTOR_KERNELS(X) \
  X(fill) X(arange) X(random) X(expect) X(copy) X(unary) X(binary) X(compare) X(ternary) X(dropout) X(triangle) \
  X(reduce) X(scan) X(softmax) X(softmax_backward) X(norm) X(norm_backward) X(batch_group_norm) X(batch_group_norm_backward) \
  X(cross_entropy) X(cross_entropy_backward) X(sort) X(gather) X(scatter) X(matmul) X(convolution) \
  X(pool) X(pool_backward) X(attention) X(attention_backward) \
  X(multi_unscale) X(multi_norm) X(multi_scale) X(multi_sgd) X(multi_adam) X(update_scale)

namespace castor::CASTOR_ISA {

#define CASTOR_DECLARE(name) std::remove_pointer_t<decltype(Backend::name)> name;
CASTOR_KERNELS(CASTOR_DECLARE)
#undef CASTOR_DECLARE

extern const Backend backend;

}  // namespace castor::CASTOR_ISA
