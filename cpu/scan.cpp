#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "fold.h"
#include "kernels.h"
#include "rows.h"

namespace castor::CASTOR_ISA {
namespace {

template <class T, class Join> void scan_rows(const View &a, const View &out, int axis, Total<T> start, Join join) {
  map_rows<T>({&out, &a}, axis, [=, n = a.size[axis]](int64_t, T *const *row) {
    Total<T> total = start;
    for (int64_t i = 0; i < n; i++) row[0][i] = T(total = join(total, Total<T>(row[1][i])));
  });
}

}  // namespace

void scan(int op, const View &a, const View &out, int axis) {
  with_compute_type(compute_type(a.dtype, out.dtype), [&](auto zero) {
    using T = decltype(zero);
    using Wide = Total<T>;
    if (Scan(op) == Scan::cumsum) scan_rows<T>(a, out, axis, 0, [](Wide a, Wide b) { return m::add(a, b); });
    else scan_rows<T>(a, out, axis, 1, [](Wide a, Wide b) { return m::mul(a, b); });
  });
}

}  // namespace castor::CASTOR_ISA
