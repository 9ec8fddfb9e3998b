#include "gemm_half.h"

namespace castor::cuda {

void multiply_half(Context &context, const Product &product) { tensor::multiply_16_bit<Half>(context, product, "float16 product"); }

}  // namespace castor::cuda
