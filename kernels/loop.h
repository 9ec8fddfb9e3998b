// A loop nest over the elements of an output and the operands broadcast to it, with as few dimensions as their strides allow.
#pragma once
#include <cstdlib>
#include "../abi/backend.h"

namespace castor::CASTOR_ISA {

template <int N> struct Loop {
  int rank = 0;
  int64_t size[CASTOR_MAX_RANK];
  int64_t stride[N][CASTOR_MAX_RANK];  // in elements, 0 where the operand is broadcast

  // A row is the run along the innermost dimension, which is the last.
  int64_t inner() const { return rank ? size[rank - 1] : 1; }
  int64_t inner_stride(int operand) const { return rank ? stride[operand][rank - 1] : 0; }
  int64_t outer() const {
    int64_t rows = 1;
    for (int d = 0; d < rank - 1; d++) rows *= size[d];
    return rows;
  }

  // The offsets, in elements, of the first elements of row number `row`.
  void offsets(int64_t row, int64_t (&offset)[N]) const {
    for (int k = 0; k < N; k++) offset[k] = 0;
    for (int d = rank - 2; d >= 0; d--) {
      int64_t index = row % size[d];
      row /= size[d];
      for (int k = 0; k < N; k++) offset[k] += index * stride[k][d];
    }
  }
};

// Visits the rows in order. It steps from each row to the next without a division.
template <int N> struct Walk {
  const Loop<N> &loop;
  int64_t offset[N];
  int64_t index[CASTOR_MAX_RANK];

  Walk(const Loop<N> &loop, int64_t row) : loop(loop) {
    loop.offsets(row, offset);
    for (int d = loop.rank - 2; d >= 0; d--) {
      index[d] = row % loop.size[d];
      row /= loop.size[d];
    }
  }

  void next() {
    for (int d = loop.rank - 2; d >= 0; d--) {
      for (int k = 0; k < N; k++) offset[k] += loop.stride[k][d];
      if (++index[d] < loop.size[d]) return;
      for (int k = 0; k < N; k++) offset[k] -= loop.size[d] * loop.stride[k][d];
      index[d] = 0;
    }
  }
};

// Appends a dimension inside the others. If every operand goes on along it at the stride of the innermost dimension, that dimension is made
// longer instead.
template <int N> void append_dimension(Loop<N> &loop, int64_t size, const int64_t (&stride)[N]) {
  if (size == 1) return;
  bool merge = loop.rank > 0;
  for (int k = 0; k < N && merge; k++) merge = loop.stride[k][loop.rank - 1] == stride[k] * size;
  int d = merge ? loop.rank - 1 : loop.rank++;
  loop.size[d] = merge ? loop.size[d] * size : size;
  for (int k = 0; k < N; k++) loop.stride[k][d] = stride[k];
}

// Aligns the trailing axes of each operand with those of out, in the row-major order of out. An empty out gives a loop of 0 rows of length
// 1.
template <int N> Loop<N> make_loop(const View &out, const View *const (&operands)[N]) {
  Loop<N> loop;
  for (int axis = 0; axis < out.rank; axis++) {
    int64_t stride[N];
    for (int k = 0; k < N; k++) {
      int own = axis - (out.rank - operands[k]->rank);
      stride[k] = own < 0 || operands[k]->size[own] == 1 ? 0 : operands[k]->stride[own];
    }
    append_dimension(loop, out.size[axis], stride);
  }
  if (out.numel() == 0) {
    loop.rank = 2;
    loop.size[0] = 0;
    loop.size[1] = 1;
    for (int k = 0; k < N; k++) loop.stride[k][0] = loop.stride[k][1] = 0;
  }
  return loop;
}

// Sorts the dimensions by the stride of operand 0, largest first, whatever their order in the view.
template <int N> void order_by_stride(Loop<N> &loop) {
  if (loop.rank < 2) return;
  Loop<N> ordered;
  bool taken[CASTOR_MAX_RANK] = {};
  for (int placed = 0; placed < loop.rank; placed++) {
    int next = -1;
    for (int d = 0; d < loop.rank; d++)
      if (!taken[d] && (next < 0 || std::abs(loop.stride[0][d]) > std::abs(loop.stride[0][next]))) next = d;
    int64_t stride[N];
    for (int k = 0; k < N; k++) stride[k] = loop.stride[k][next];
    append_dimension(ordered, loop.size[next], stride);
    taken[next] = true;
  }
  loop = ordered;
}

}  // namespace castor::CASTOR_ISA
