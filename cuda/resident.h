// Inputs for kernels that read them from memory only.
#pragma once
#include <algorithm>
#include "../kernels/table.h"
#include "context.h"

namespace castor::cuda {

// An input in device memory. A constant is first copied there.
class Resident {
 public:
  Resident(Context &context, const View &given) : given_(given), memory_(context, given.constant ? 8 : 0) {
    if (!given.constant) return;
    own_.data = memory_.as<void>();
    own_.dtype = given.dtype;
    own_.device = context.id;
    own_.rank = given.rank;
    std::fill_n(own_.size, given.rank, 1);
    std::fill_n(own_.stride, given.rank, 1);
    copy(given, own_);
  }
  operator const View &() const { return given_.constant ? own_ : given_; }

 private:
  const View &given_;
  Scratch memory_;
  View own_;
};

}  // namespace castor::cuda
