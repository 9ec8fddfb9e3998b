// Products of 16-bit factors, compiled once for each of the two dtypes.
#pragma once
#include "gemm_kernels.h"
#include "gemm_tensor.h"

namespace castor::cuda::tensor {

template <class T> using Large = Tiling<T, 256, 128, 64, 64, 128, 3, 1>;
template <class T> using Medium = Tiling<T, 128, 128, 64, 64, 64, 4, 2>;
template <class T> using Small = Tiling<T, 64, 64, 32, 32, 128, 4, 3>;

template <class T, bool A_ALONG_K, bool B_ALONG_K> void multiply_rows(Context &context, const Product &p, const char *name) {
  const auto kernel = [&](auto tiling, double speed) {
    using S = decltype(tiling);
    return describe<S, RowsOf<S, S::M, A_ALONG_K>, RowsOf<S, S::N, B_ALONG_K>>(name, speed);
  };
  const TileKernel kernels[] = {kernel(Large<T>{}, 1), kernel(Medium<T>{}, 0.9), kernel(Small<T>{}, 0.5)};
  run<float>(context, p, kernels, 3);
}

template <class T> void multiply_rows(Context &context, const Product &p, const char *name) {
  if (p.a.along_k) return p.b.along_k ? multiply_rows<T, true, true>(context, p, name) : multiply_rows<T, true, false>(context, p, name);
  return p.b.along_k ? multiply_rows<T, false, true>(context, p, name) : multiply_rows<T, false, false>(context, p, name);
}

// Element by element from any layout; a in rows along k where it can.
template <class T, bool A_IN_ROWS> void multiply_gathered(Context &context, const Product &p, const char *name) {
  const auto kernel = [&](auto tiling, double speed) {
    using S = decltype(tiling);
    using LoadA = std::conditional_t<A_IN_ROWS, RowsOf<S, S::M, true>, GatherOf<S, S::M>>;
    return describe<S, LoadA, GatherOf<S, S::N>>(name, speed);
  };
  const TileKernel kernels[] = {kernel(Tiling<T, 128, 128, 64, 32, 64, 3, 1>{}, 1), kernel(Tiling<T, 64, 64, 32, 32, 64, 3, 2>{}, 0.6)};
  run<float>(context, p, kernels, 2);
}

template <class T> void multiply_16_bit(Context &context, const Product &p, const char *name) {
  const bool a = in_rows(p, p.a, p.m), b = in_rows(p, p.b, p.n);
  if (a && b) return multiply_rows<T>(context, p, name);
  return a && p.a.along_k ? multiply_gathered<T, true>(context, p, name) : multiply_gathered<T, false>(context, p, name);
}

}  // namespace castor::cuda::tensor
