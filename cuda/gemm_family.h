// A family of kernels: several tilings, each with every way to load the operands.
#pragma once
#include "gemm_kernels.h"
#include "gemm_tensor.h"

namespace castor::cuda::tensor {

template <class... S> struct Tilings {};

template <class S, class LoadA, class LoadB> TileKernel describe(const char *name) {
  const int stages = S::TABLES + (LoadA::TABLE + LoadB::TABLE) * int(sizeof(Position)), sums = S::M * S::N * int(sizeof(float));
  return {name, gemm_tensor_kernel<S, LoadA, LoadB>, S::M, S::N, S::K, S::THREADS, S::RESIDENT, std::max(stages, sums), S::SPEED / 100.0};
}

template <class S, int X, bool ALONG_K> using RowsOf = Rows<Panel<typename S::T, X, S::K, ALONG_K>, S::THREADS>;
template <class S, int X> using GatherOf = Gather<Panel<typename S::T, X, S::K, true>, X, S::THREADS>;

template <bool A_ALONG_K, bool B_ALONG_K, class... S>
void multiply_rows(Context &context, const GemmProblem &p, const char *name, Tilings<S...>) {
  const TileKernel kernels[] = {describe<S, RowsOf<S, S::M, A_ALONG_K>, RowsOf<S, S::N, B_ALONG_K>>(name)...};
  run<float>(context, p, kernels, sizeof...(S));
}

// Loads element by element from any layout. a is loaded in rows along k where its layout allows it.
template <class S, bool IN_ROWS> using LoadA = std::conditional_t<IN_ROWS, RowsOf<S, S::M, true>, GatherOf<S, S::M>>;
template <bool A_IN_ROWS, class... S> void multiply_gathered(Context &context, const GemmProblem &p, const char *name, Tilings<S...>) {
  const TileKernel kernels[] = {describe<S, LoadA<S, A_IN_ROWS>, GatherOf<S, S::N>>(name)...};
  run<float>(context, p, kernels, sizeof...(S));
}

template <class InRows, class Gathered>
void multiply(Context &context, const GemmProblem &p, const char *name, InRows rows, Gathered gathered) {
  if (!p.a.whole || !p.b.whole) {
    if (p.a.whole && p.a.along_k) return multiply_gathered<true>(context, p, name, gathered);
    return multiply_gathered<false>(context, p, name, gathered);
  }
  if (p.a.along_k)
    return p.b.along_k ? multiply_rows<true, true>(context, p, name, rows) : multiply_rows<true, false>(context, p, name, rows);
  return p.b.along_k ? multiply_rows<false, true>(context, p, name, rows) : multiply_rows<false, false>(context, p, name, rows);
}

// The family for one of the two 16-bit dtypes.
template <class T> void multiply_halves(Context &context, const GemmProblem &p, const char *name) {
  using InRows = Tilings<Tiling<T, 256, 128, 64, 64, 128, 3, 1, 100>, Tiling<T, 128, 128, 64, 64, 64, 4, 2, 90>,
                         Tiling<T, 64, 64, 32, 32, 128, 4, 3, 50>>;
  using Gathered = Tilings<Tiling<T, 128, 128, 64, 32, 64, 3, 1, 100>, Tiling<T, 64, 64, 32, 32, 64, 3, 2, 60>>;
  multiply(context, p, name, InRows{}, Gathered{});
}

}  // namespace castor::cuda::tensor
