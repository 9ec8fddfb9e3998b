// Packing: the lines of an operand, of any layout and dtype, become the panels that the micro-kernel reads in order.
#pragma once
#include <algorithm>
#include "gemm.h"
#include "vectors.h"

namespace castor::CASTOR_ISA {

// Four lines of n elements, n <= DEPTH, become four neighbouring columns of a panel whose rows are W wide.
template <class T, int W> void interleave4(T *to, const T *const (&from)[4], int64_t n) {
  int64_t p = 0;
  for (; p + 4 <= n; p += 4) transpose4(to + p * W, W, {from[0] + p, from[1] + p, from[2] + p, from[3] + p});
  for (; p < n; p++)
    for (int j = 0; j < 4; j++) to[p * W + j] = from[j][p];
}

template <class T, int W> void pack_along_k(T *to, const Operand<T> &source, int64_t x, int64_t count, int64_t p, int64_t depth) {
  static_assert(W % 4 == 0, "lines are interleaved four at a time");
  constexpr int64_t RUN = 128;  // so that what all lines write of a panel stays in the L1 cache, since four lines fill a part of each row
  alignas(64) T buffer[4][RUN];
  alignas(64) static const T zeros[RUN] = {};
  for (int64_t i = 0; i < count; i += W, to += W * depth)
    for (int64_t q = 0; q < depth; q += RUN)
      for (int r = 0; r < W; r += 4) {
        const T *lines[4];
        int64_t n = std::min(RUN, depth - q);
        for (int j = 0; j < 4; j++) lines[j] = i + r + j < count ? source.line(buffer[j], x + i + r + j, p + q, n) : zeros;
        interleave4<T, W>(to + q * W + r, lines, n);
      }
}

// Copies rows, which are read along k: to[i * depth + q]. Lines that are converted are written to their place at once.
template <class T> void copy_rows(T *to, const Operand<T> &source, int64_t x, int64_t count, int64_t p, int64_t depth) {
  for (int64_t i = 0; i < count; i++)
    for (int64_t q = 0; q < depth; q += LINE) {
      T *const place = to + i * depth + q;
      const int64_t n = std::min(LINE, depth - q);
      const T *const line = source.line(place, x + i, p + q, n);
      if (line != place) std::copy_n(line, n, place);
    }
}

// Packs several lines at a time, so that each panel is written in long runs: neighbouring elements of one line are far apart in the panels.
template <class T, int W> void pack_along_x(T *to, const Operand<T> &source, int64_t x, int64_t count, int64_t p, int64_t depth) {
  constexpr int64_t SPAN = LINE / W * W, RUN = 8;
  alignas(64) T buffer[RUN][LINE];
  for (int64_t i = 0; i < count; i += SPAN)
    for (int64_t q = 0; q < depth; q += RUN) {
      const T *lines[RUN];
      int64_t n = std::min(SPAN, count - i), run = std::min(RUN, depth - q);
      for (int64_t r = 0; r < run; r++) lines[r] = source.line(buffer[r], p + q + r, x + i, n);
      T *panel = to + i * depth + q * W;
      int64_t c = 0;
      for (; c + W <= n; c += W, panel += W * depth)
        for (int64_t r = 0; r < run; r++) __builtin_memcpy(panel + r * W, lines[r] + c, W * sizeof(T));
      for (int64_t r = 0; c < n && r < run; r++) std::fill(std::copy_n(lines[r] + c, n - c, panel + r * W), panel + (r + 1) * W, T(0));
    }
}

// Packs x .. x + count of source at p .. p + depth as panels: to[(i / W * depth + q) * W + i % W]. Elements beyond count are zero.
template <class T, int W> void pack(T *to, const Operand<T> &source, int64_t x, int64_t count, int64_t p, int64_t depth) {
  (source.along_k ? pack_along_k<T, W> : pack_along_x<T, W>)(to, source, x, count, p, depth);
}

}  // namespace castor::CASTOR_ISA
