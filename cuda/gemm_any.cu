// Products of float64, of integers, and of operands of different dtypes.
#include "gemm_kernels.h"
#include "gemm_simt.h"

namespace castor::cuda {

void multiply_any(Context &context, const GemmProblem &p) {
  with_compute_type(compute_type(p.a.dtype, p.b.dtype), [&](auto zero) {
    using T = decltype(zero);
    using Load = simt::Gather<T, 64>;
    const TileKernel kernel = simt::describe<T, 64, sizeof(T) == 8 ? 2 : 3, Load, Load>("product", 1);
    run<T>(context, p, &kernel, 1);
  });
}

}  // namespace castor::cuda
