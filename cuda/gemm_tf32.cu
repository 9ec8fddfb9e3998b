#include "gemm_family.h"

namespace castor::cuda {

void multiply_tf32(Context &context, const GemmProblem &product) {
  using namespace tensor;
  using InRows = Tilings<Tiling<float, 128, 128, 64, 64, 64, 4, 2, 100>, Tiling<float, 64, 64, 32, 32, 128, 4, 3, 60>>;
  using Gathered = Tilings<Tiling<float, 128, 128, 64, 32, 64, 3, 1, 100>, Tiling<float, 64, 64, 32, 32, 64, 3, 2, 60>>;
  multiply(context, product, "tf32 product", InRows{}, Gathered{});
}

}  // namespace castor::cuda
