// The loop over the matrices of a batched product.
#pragma once
#include "loop.h"

namespace castor::CASTOR_ISA {

enum { A, B, OUT };

// The dimensions of the loop are the batch axes and, innermost, the rows. Batch axes along which b is broadcast are merged with the rows
// where a and out are contiguous across them.
static inline Loop<3> nest_of(const View &a, const View &b, const View &out) {
  Loop<3> nest;
  for (int axis = 0; axis < out.rank - 1; axis++) {
    bool row = axis == out.rank - 2;
    append_dimension(nest, out.size[axis], {a.stride[axis], row ? 0 : b.stride[axis], out.stride[axis]});
  }
  if (nest.rank > 0 && nest.inner_stride(B) == 0) return nest;
  nest.size[nest.rank] = 1;
  for (auto &stride : nest.stride) stride[nest.rank] = 0;
  nest.rank++;
  return nest;
}

}  // namespace castor::CASTOR_ISA
