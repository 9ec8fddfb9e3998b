// The families of kernels that compute products, by the operands that they support.
#pragma once
#include "gemm.h"

namespace castor::cuda {

void multiply_half(Context &context, const GemmProblem &product);    // two float16 operands
void multiply_bfloat(Context &context, const GemmProblem &product);  // two bfloat16 operands
void multiply_float(Context &context, const GemmProblem &product);   // two float32 operands
void multiply_tf32(Context &context, const GemmProblem &product);    // two float32 operands, rounded to tf32
void multiply_any(Context &context, const GemmProblem &product);     // operands of any dtypes

bool is_skinny(const GemmProblem &product);                             // a few rows or columns, plain matrices
void multiply_skinny(Context &context, const GemmProblem &product);    // two operands of float32, float16 or bfloat16
bool has_few_rows(const GemmProblem &product);                       // few rows of a and c
void multiply_few_rows(Context &context, const GemmProblem &product);  // two operands of float32, float16 or bfloat16, in any layout
bool multiply_with_cublas(Context &context, const GemmProblem &product);  // false if cuBLASLt is missing or cannot compute it
// Whether a product is so large that it is worth another launch to have it computed by cuBLASLt. With CASTOR_CUBLAS=1 every one is.
bool worth_a_detour(const GemmProblem &product);
// The same for products of so many multiplications that are only prepared for cuBLASLt, on one further condition.
bool products_by_cublas(double multiplications, bool condition);

}  // namespace castor::cuda
