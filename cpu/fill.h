// Writes one value to every element of a tensor.
#pragma once
#include "blocks.h"
#include "stream.h"

namespace castor::CASTOR_ISA {

template <class S> void fill_row(S *to, int64_t stride, S value, int64_t n) {
  if (stride == 1) return (void)std::fill_n(to, n, value);
  for (int64_t i = 0; i < n; i++) to[i * stride] = value;
}

template <class S> void stream_row(S *to, S value, int64_t n) {
  alignas(64) S tile[TILE];
  std::fill_n(tile, TILE, value);
  for (int64_t i = 0; i < n; i += TILE) stream_copy(to + i, tile, std::min<int64_t>(TILE, n - i) * sizeof(S));
  stream_fence();
}

// S has the size of the elements of out.
template <class S> void fill_elements(const View &out, S value) {
  const Loop<1> loop = memory_loop<1>(out, {&out});
  if (loop.outer() == 1 && loop.inner() * int64_t(sizeof(S)) >= STREAM_FROM && loop.inner_stride(0) == 1)
    return parallel_for(loop.inner(), CHUNK, [&](int64_t begin, int64_t end) { stream_row(out.as<S>() + begin, value, end - begin); });
  for_each_block(loop, [&](auto &&each) {
    each([&](const Block<1> &block) {
      for (int64_t r = 0; r < block.rows; r++) fill_row(out.as<S>() + block.offset(0, r), loop.inner_stride(0), value, block.columns);
    });
  });
}

}  // namespace castor::CASTOR_ISA
