// Fills tensors with a value or a formula of the flat index (fill, arange), and copies triangles of matrices.
#include "../kernels/philox.h"
#include "../kernels/table.h"
#include "generate.h"

namespace castor::cuda {

template <class T> struct Constant {
  T value;
  __device__ __forceinline__ T operator()(const T (&)[1]) const { return value; }
};

void fill(const View &out, double value) {
  with_compute_type(out.dtype, [&](auto t) {
    using T = decltype(t);
    T rounded{};
    with_dtype(out.dtype, [&](auto element) { rounded = convert<T>(convert<decltype(element)>(value)); });
    map<T, 0>("fill", out, nullptr, Constant<T>{rounded});
  });
}

// Float dtypes of every width are computed in double and rounded once.
struct Line {
  double start, step;
  __device__ __forceinline__ void operator()(int64_t first, Vector<double, WIDTH> &x) const {
    GPU_UNROLL for (int j = 0; j < WIDTH; j++) x.v[j] = start + times(double(first + j), step);
  }
};
struct IntegerLine {
  uint64_t start, step;
  __device__ __forceinline__ void operator()(int64_t first, Vector<int64_t, WIDTH> &x) const {
    GPU_UNROLL for (int j = 0; j < WIDTH; j++) x.v[j] = int64_t(start + uint64_t(first + j) * step);
  }
};

void arange(const View &out, double start, double step) {
  if (is_float(out.dtype)) return generate<double, 0>("arange", out, nullptr, Line{start, step});
  generate<int64_t, 0>("arange", out, nullptr, IntegerLine{uint64_t(convert<int64_t>(start)), uint64_t(convert<int64_t>(step))});
}

template <class T> struct Triangle {
  int64_t rows, columns, diagonal;
  bool upper;
  __device__ __forceinline__ void operator()(int64_t first, Vector<T, WIDTH> &x) const {
    int64_t line = first / columns, column = first - line * columns, row = line % rows;
    GPU_UNROLL for (int j = 0; j < WIDTH; j++) {
      const bool kept = upper ? column - row >= diagonal : column - row <= diagonal;
      x.v[j] = kept ? x.v[j] : T(0);
      if (++column < columns) continue;
      column = 0;
      row = row + 1 < rows ? row + 1 : 0;
    }
  }
};

void triangle(bool upper, const View &a, const View &out, int diagonal) {
  with_compute_type(compute_type(a.dtype, out.dtype), [&](auto t) {
    using T = decltype(t);
    const View *const inputs[] = {&a};
    generate<T, 1>("triangle", out, inputs, Triangle<T>{out.size[out.rank - 2], out.size[out.rank - 1], diagonal, upper});
  });
}

}  // namespace castor::cuda
