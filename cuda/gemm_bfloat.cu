#include "gemm_half.h"

namespace castor::cuda {

void multiply_bfloat(Context &context, const Product &product) { tensor::multiply_16_bit<BFloat>(context, product, "bfloat16 product"); }

}  // namespace castor::cuda
