// What the two directions of layerNorm and rmsNorm share.
#pragma once
#include "rows.h"

namespace castor::cuda {

// A value for each row.
template <class T> struct Column {
  T *data;  // null: absent
  int64_t stride;

  __device__ __forceinline__ T &operator[](int64_t row) const { return data[row * stride]; }
};

template <class T> Column<T> column(const View *v) { return v ? Column<T>{v->as<T>(), v->stride[0]} : Column<T>{nullptr, 0}; }

// No mean: rmsNorm.
template <class T> struct Statistics {
  Column<T> mean, rstd;
};

// One row as the operand of every row of a matrix.
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
