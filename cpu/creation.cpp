// The results are the same bit for bit on every instruction set: CMakeLists.txt lets the compiler fuse no product with a sum here.
#include "../kernels/philox.h"
#include "fill.h"
#include "flat.h"
#include "../kernels/table.h"

namespace castor::CASTOR_ISA {

void fill(const View &out, double value) {
  with_dtype(out.dtype, [&](auto element) {
    using S = decltype(element);
    fill_elements(out, convert<S>(value));
  });
}

// Float dtypes of every width are computed in double and rounded once.
void arange(const View &out, double start, double step) {
  if (is_float(out.dtype))
    return generate<double>(out, [&](double *to, int64_t begin, int64_t n) {
      for (int64_t i = 0; i < n; i++) to[i] = start + times(double(begin + i), step);
    });
  uint64_t first = uint64_t(convert<int64_t>(start)), pace = uint64_t(convert<int64_t>(step));
  generate<int64_t>(out, [&](int64_t *to, int64_t begin, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = int64_t(first + uint64_t(begin + i) * pace);
  });
}

// The columns [from, to) of a row are kept.
struct Kept { int64_t from, to; };
static Kept kept(bool upper, int64_t row, int64_t columns, int64_t diagonal) {
  int64_t edge = std::clamp<int64_t>(row + diagonal + !upper, 0, columns);
  return upper ? Kept{edge, columns} : Kept{0, edge};
}

void triangle(bool upper, const View &a, const View &out, int diagonal) {
  int64_t rows = out.size[out.rank - 2], columns = out.size[out.rank - 1];
  Loop<1> loop = flat_loop(a);
  with_compute_type(compute_type(a.dtype, out.dtype), [&](auto t) {
    using T = decltype(t);
    generate<T>(out, [&](T *to, int64_t begin, int64_t n) {
      load_flat(to, a, loop, begin, n);
      for (int64_t i = begin; i < begin + n;) {
        int64_t row = i / columns % rows, column = i % columns, end = std::min(columns, column + begin + n - i);
        Kept k = kept(upper, row, columns, diagonal);
        T *first = to + (i - begin) - column;
        std::fill(first + column, first + std::max(column, std::min(end, k.from)), T(0));
        std::fill(first + std::min(end, std::max(column, k.to)), first + end, T(0));
        i += end - column;
      }
    });
  });
}

}  // namespace castor::CASTOR_ISA
