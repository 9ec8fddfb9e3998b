// The families of kernels that compute products, by what they ask of the factors.
#pragma once
#include "gemm.h"

namespace castor::cuda {

void multiply_half(Context &context, const Product &product);    // two float16
void multiply_bfloat(Context &context, const Product &product);  // two bfloat16
void multiply_float(Context &context, const Product &product);   // two float32
void multiply_any(Context &context, const Product &product);     // any dtypes

// Whether a factor lies in rows of 16-byte packets, as `along_k` says: what can be moved without registers.
bool in_rows(const Product &p, const Factor &f, int32_t size);

}  // namespace castor::cuda
