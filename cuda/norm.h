// Code of the forward and backward passes of layerNorm and rmsNorm.
#pragma once
#include "rows.h"

namespace castor::cuda {

// Without a mean it is that of rmsNorm.
template <class T> struct Statistics {
  Column<T> mean, rstd;
};

// One row, as an operand that is the same for every row of a matrix.
struct RowOfAll : View {
  RowOfAll(const View &row, const View &matrix) {
    data = row.data;
    dtype = row.dtype;
    device = row.device;
    rank = 2;
    std::copy_n(matrix.size, 2, size);
    stride[0] = 0;
    stride[1] = row.stride[0];
  }
};

}  // namespace castor::cuda
