// The families of kernels that compute products, by what they ask of the factors.
#pragma once
#include "gemm.h"

namespace castor::cuda {

void multiply_half(Context &context, const Product &product);    // two float16
void multiply_bfloat(Context &context, const Product &product);  // two bfloat16
void multiply_float(Context &context, const Product &product);   // two float32
void multiply_tf32(Context &context, const Product &product);    // two float32, rounded to tf32
void multiply_any(Context &context, const Product &product);     // any dtypes

bool is_thin(const Product &product);                             // a few rows or columns, plain matrices
void multiply_thin(Context &context, const Product &product);    // two float32, float16 or bfloat16
bool has_few_rows(const Product &product);                       // of a and c
void multiply_few_rows(Context &context, const Product &product);  // two float32, float16 or bfloat16, in any layout
bool multiply_with_cublas(Context &context, const Product &product);  // false if it is not there, or not able to

}  // namespace castor::cuda
