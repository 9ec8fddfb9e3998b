#include "gemm_family.h"

namespace castor::cuda {

void multiply_half(Context &context, const GemmProblem &product) { tensor::multiply_halves<Half>(context, product, "float16 product"); }

}  // namespace castor::cuda
