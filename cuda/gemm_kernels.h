// The families of kernels that compute products, by what they ask of the factors.
#pragma once
#include "gemm.h"

namespace castor::cuda {

void multiply_any(Context &context, const Product &product);  // any dtypes, any layout

}  // namespace castor::cuda
