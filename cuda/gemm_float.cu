// Products of float32, computed in float32 without rounding to tf32.
#include "gemm_kernels.h"
#include "gemm_simt.h"

namespace castor::cuda {
namespace {

constexpr const char *NAME = "float32 product";
constexpr double NARROW = 0.6;  // speed of tiles of 64 x 64 relative to those of 128 x 128

template <int SIDE, bool ALONG_K> using Rows = simt::Rows<float, SIDE, ALONG_K>;

template <bool A_ALONG_K, bool B_ALONG_K> void multiply_rows(Context &context, const GemmProblem &p) {
  const TileKernel kernels[] = {simt::describe<float, 128, 2, Rows<128, A_ALONG_K>, Rows<128, B_ALONG_K>>(NAME, 1),
                                simt::describe<float, 64, 3, Rows<64, A_ALONG_K>, Rows<64, B_ALONG_K>>(NAME, NARROW)};
  run<float>(context, p, kernels, 2);
}

void multiply_gathered(Context &context, const GemmProblem &p) {
  using Wide = simt::Gather<float, 128, float>;
  using Narrow = simt::Gather<float, 64, float>;
  const TileKernel kernels[] = {simt::describe<float, 128, 1, Wide, Wide>(NAME, 1),
                                simt::describe<float, 64, 3, Narrow, Narrow>(NAME, NARROW)};
  run<float>(context, p, kernels, 2);
}

}  // namespace

void multiply_float(Context &context, const GemmProblem &p) {
  if (!p.a.in_rows || !p.b.in_rows) return multiply_gathered(context, p);
  if (p.a.along_k) return p.b.along_k ? multiply_rows<true, true>(context, p) : multiply_rows<true, false>(context, p);
  return p.b.along_k ? multiply_rows<false, true>(context, p) : multiply_rows<false, false>(context, p);
}

}  // namespace castor::cuda
