// Visits a tensor of any layout in tiles, by flat index: element i in row-major order.
#pragma once
#include <algorithm>
#include "rows.h"
#include "tile.h"

namespace castor::CASTOR_ISA {

static inline Loop<1> flat_loop(const View &v) { return make_loop<1>(v, {&v}); }

template <class T> void load_flat(T *to, const View &v, const Loop<1> &loop, int64_t begin, int64_t n) {
  for_runs(loop, begin, begin + n, TILE, [&](const int64_t (&offset)[1], int64_t length) {
    load(to, at(v, offset[0]), v.dtype, loop.inner_stride(0), length);
    to += length;
  });
}

template <class T> void store_flat(const View &v, const Loop<1> &loop, int64_t begin, const T *from, int64_t n) {
  for_runs(loop, begin, begin + n, TILE, [&](const int64_t (&offset)[1], int64_t length) {
    store(at(v, offset[0]), v.dtype, loop.inner_stride(0), from, length);
    from += length;
  });
}

// Fills out. make(T *to, int64_t begin, int64_t n) computes the elements begin .. begin + n of out, where begin is a multiple of TILE.
template <class T, class Make> void generate(const View &out, Make &&make) {
  constexpr int64_t chunk = 32 * TILE;
  Loop<1> loop = flat_loop(out);
  bool direct = out.dtype == dtype_of<T> && out.contiguous();
  parallel_for(out.numel(), chunk, [&](int64_t begin, int64_t end) {
    alignas(64) T tile[TILE];
    for (; begin < end; begin += TILE) {
      int64_t n = std::min<int64_t>(TILE, end - begin);
      T *to = direct ? out.as<T>() + begin : tile;
      make(to, begin, n);
      if (!direct) store_flat(out, loop, begin, to, n);
    }
  });
}

}  // namespace castor::CASTOR_ISA
