// Refuses values for which an op is not defined, before anything is written.
#pragma once
#include <atomic>
#include "../kernels/ops.h"
#include "rows.h"

namespace castor::CASTOR_ISA {

// Fails at the first element for which is_bad(int64_t) is true.
template <class Bad> void refuse(const View &v, Defect defect, Bad is_bad) {
  Loop<1> loop;
  for (int d = 0; d < v.rank; d++) append_dimension(loop, v.size[d], {v.stride[d]});
  std::atomic<bool> found{false};
  parallel_for(v.numel(), GRAIN, [&](int64_t begin, int64_t end) {
    for_runs(loop, begin, end, TILE, [&](const int64_t *offset, int64_t n) {
      int64_t scratch[TILE], bad = 0;
      const int64_t *x = open_run(scratch, v, offset[0], loop.inner_stride(0), n);
      for (int64_t i = 0; i < n; i++) bad |= is_bad(x[i]);
      if (bad) found.store(true, std::memory_order_relaxed);
    });
  });
  if (!found) return;
  if (v.rank == 0) fail(CASTOR_ARGUMENT, "%s", text_of(defect));
  int64_t position = 0, first = -1;
  for_runs(loop, 0, v.numel(), 1, [&](const int64_t *offset, int64_t) {
    if (first < 0 && is_bad(load_one<int64_t>(v, offset[0]))) first = position;
    position++;
  });
  fail(CASTOR_ARGUMENT, "at position %lld %s", (long long)first, text_of(defect));
}

}  // namespace castor::CASTOR_ISA
