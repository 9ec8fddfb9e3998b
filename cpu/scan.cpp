// Cumulative sums and products along one axis, in the order of the elements. Where neighbouring rows are closer together in memory than
// the elements of a row, up to TILE rows are computed side by side.
#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "fold.h"
#include "../kernels/table.h"
#include "rows.h"

namespace castor::CASTOR_ISA {
namespace {

// Rows that are computed at once: each sum waits for the one before it in its row, but not for those of other rows. Rows of more than LONG
// elements are computed one by one, because each may need a contiguous copy of its input and of its output.
constexpr int ABREAST = 4;
constexpr int64_t LONG = int64_t(1) << 16;

template <int COUNT, class T, class Combine>
void scan_abreast(T *const *to, const T *const *from, int64_t n, Total<T> start, Combine combine) {
  Total<T> total[COUNT];
  std::fill_n(total, COUNT, start);
  for (int64_t i = 0; i < n; i++)
    for (int j = 0; j < COUNT; j++) to[j][i] = T(total[j] = combine(total[j], Total<T>(from[j][i])));
}

template <class T, class Combine> void scan_rows(const RowLoop<2> &rows, Total<T> start, Combine combine) {
  const int64_t n = rows.n;
  const int abreast = n <= LONG ? ABREAST : 1;
  parallel_for(rows.rows(), rows.grain(), [&](int64_t begin, int64_t end) {
    Scratch<T> scratch(2 * abreast * n);
    const std::vector<Runs<T>> runs = rows.template all<T>(rows.step);
    T *to[ABREAST];
    const T *from[ABREAST];
    int64_t output[ABREAST], left = end - begin;  // the offsets of the output's rows, and the rows that are not opened yet
    int count = 0;
    for_runs(rows.loop, begin, end, 1, [&](const int64_t *offset, int64_t) {
      output[count] = offset[0];
      to[count] = runs[0].output(scratch + 2 * count * n, offset[0]);
      from[count] = runs[1].open(scratch + (2 * count + 1) * n, offset[1], n);
      count++, left--;
      if (count < abreast && left > 0) return;
      if (count == ABREAST) scan_abreast<ABREAST>(to, from, n, start, combine);
      else for (int j = 0; j < count; j++) scan_abreast<1>(to + j, from + j, n, start, combine);
      for (int j = 0; j < count; j++) runs[0].close(to[j], output[j], n);
      count = 0;
    });
  });
}

template <class T, class Combine> void scan_columns(const RowLoop<2> &rows, Total<T> start, Combine combine) {
  map_columns<T>(rows, [=](const Columns<T, 2> &columns) {
    Total<T> total[TILE];
    std::fill_n(total, columns.width, start);
    columns.each(true, [&](T *const *line) {
      CASTOR_IVDEP
      for (int64_t i = 0; i < columns.width; i++) line[0][i] = T(total[i] = combine(total[i], Total<T>(line[1][i])));
    });
  });
}

template <class T, class Combine> void scan_all(const RowLoop<2> &rows, Total<T> start, Combine combine) {
  rows.side_by_side() ? scan_columns<T>(rows, start, combine) : scan_rows<T>(rows, start, combine);
}

}  // namespace

void scan(int op, const View &a, const View &out, int axis) {
  with_compute_type(compute_type(a.dtype, out.dtype), [&](auto zero) {
    using T = decltype(zero);
    using Wide = Total<T>;
    const RowLoop<2> rows({&out, &a}, axis);
    if (Scan(op) == Scan::cumsum) scan_all<T>(rows, 0, [](Wide x, Wide y) { return m::add(x, y); });
    else scan_all<T>(rows, 1, [](Wide x, Wide y) { return m::mul(x, y); });
  });
}

}  // namespace castor::CASTOR_ISA
