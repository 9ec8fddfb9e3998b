#pragma once
#include "../kernels/table.h"
#include "gemm.h"

namespace castor::cuda {

// An operand of a large product. It is copied into contiguous rows if its layout has none, because it is read many times.
class Packed {
 public:
  Packed(Context &context, GemmProblem &p, GemmOperand &f, int32_t size) : memory_(context, worth_it(p, f, size) ? bytes(p, f, size) : 0) {
    if (memory_.as<char>()) copy_to_rows(context, p, f, size);
  }

 private:
  Scratch memory_;

  static int which(const GemmProblem &p, const GemmOperand &f) { return &f == &p.a ? 0 : 1; }
  static int64_t pitch(const GemmProblem &p, const GemmOperand &f, int32_t size) {
    return blocks_for(f.along_k ? p.k : size, VECTOR_WIDTH) * VECTOR_WIDTH;
  }
  static int64_t bytes(const GemmProblem &p, const GemmOperand &f, int32_t size) {
    int64_t rows = f.along_k ? size : p.k;
    for (int d = 0; d < p.strides.rank; d++)
      if (p.strides.stride[which(p, f)][d] != 0) rows *= p.strides.size[d].divisor;
    return rows * pitch(p, f, size) * size_of(f.dtype);
  }
  static bool worth_it(const GemmProblem &p, const GemmOperand &f, int32_t size) {
    constexpr int64_t LARGE = 1 << 24, MOST = 1 << 28;
    return !f.whole && f.x.plain(size) && f.k.plain(p.k) && int64_t(p.m) * p.n * p.k >= LARGE && bytes(p, f, size) <= MOST;
  }

  void copy_to_rows(Context &context, GemmProblem &p, GemmOperand &f, int32_t size) {
    View from, to;
    from.data = const_cast<char *>(f.data), to.data = memory_.as<void>();
    from.dtype = to.dtype = f.dtype, from.device = to.device = context.id;
    int64_t step = pitch(p, f, size);
    const auto append = [&](int64_t axis_size, int64_t from_stride, int64_t to_stride) {
      from.size[from.rank] = to.size[to.rank] = axis_size;
      from.stride[from.rank++] = from_stride, to.stride[to.rank++] = to_stride;
    };
    step *= f.along_k ? size : p.k;
    for (int d = 0; d < p.strides.rank; d++) {
      int64_t &stride = p.strides.stride[which(p, f)][d];
      if (stride == 0) continue;
      append(p.strides.size[d].divisor, stride, step);
      stride = step;
      step *= p.strides.size[d].divisor;
    }
    MixedRadixIndex &row = f.along_k ? f.x : f.k, &along = f.along_k ? f.k : f.x;
    append(f.along_k ? size : p.k, row.stride[2], pitch(p, f, size));
    append(f.along_k ? p.k : size, along.stride[2], 1);
    row.stride[2] = pitch(p, f, size), along.stride[2] = 1;
    f.data = memory_.as<const char>(), f.in_rows = f.whole = true;
    copy(from, to);
    if (f.along_k) fill_beyond(to, pitch(p, f, size));
  }

  // Zeros between the end of each row and the next row.
  static void fill_beyond(View &rows, int64_t pitch) {
    int64_t &columns = rows.size[rows.rank - 1];
    rows.data = at(rows, columns);
    columns = pitch - columns;
    if (columns > 0) fill(rows, 0);
  }
};

}  // namespace castor::cuda
