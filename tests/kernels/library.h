// The library under test, which is opened at run time: the one named by CASTOR_LIBRARY. It is used through castor.h only.
#pragma once
#include <string>
#include <vector>
#include "../../abi/castor.h"

namespace tests {

#define CASTOR_FUNCTIONS(X) \
  X(abi_version) X(op_names) X(last_error) X(describe) X(set_threads) X(set_float32_precision) \
  X(alloc) X(last_status) X(free) X(write) X(read) X(synchronize) \
  X(capture_begin) X(capture_end) X(graph_replay) X(graph_free) \
  X(fill) X(arange) X(random) X(expect) \
  X(copy) X(unary) X(binary) X(compare) X(ternary) X(dropout) X(triangle) \
  X(reduce) X(scan) X(softmax) X(softmax_backward) X(norm) X(norm_backward) X(batch_group_norm) X(batch_group_norm_backward) \
  X(cross_entropy) X(cross_entropy_backward) X(sort) X(gather) X(scatter) \
  X(matmul) X(convolution) X(pool) X(pool_backward) X(attention) X(attention_backward) \
  X(multi_unscale) X(multi_norm) X(multi_scale) X(multi_sgd) X(multi_adam) X(update_scale)

struct Library {
#define CASTOR_POINTER(name) decltype(&castor_##name) name;
  CASTOR_FUNCTIONS(CASTOR_POINTER)
#undef CASTOR_POINTER

  // The ops of a kind, in the order of their numbers.
  std::vector<std::string> ops(const std::string &kind) const;
  int op(const std::string &kind, const std::string &name) const;
};

// The first call opens the library, and ends the program if that fails.
const Library &castor();

}  // namespace tests
