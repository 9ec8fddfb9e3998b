// Cumulative sums and products along one axis, in the order of the elements. Where neighbouring rows are closer together in memory than
// the elements of a row, up to TILE rows are computed side by side.
#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "fold.h"
#include "../kernels/table.h"
#include "rows.h"

namespace castor::CASTOR_ISA {
namespace {

template <class T, class Combine> void scan_rows(const RowLoop<2> &rows, Total<T> start, Combine combine) {
  map_rows<T>(rows, [=, n = rows.n](int64_t, T *const *row) {
    Total<T> total = start;
    for (int64_t i = 0; i < n; i++) row[0][i] = T(total = combine(total, Total<T>(row[1][i])));
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
