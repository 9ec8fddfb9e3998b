#include "gemm_family.h"

namespace castor::cuda {

void multiply_bfloat(Context &context, const GemmProblem &product) {
  tensor::multiply_halves<BFloat>(context, product, "bfloat16 product");
}

}  // namespace castor::cuda
