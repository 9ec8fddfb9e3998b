// The part of cuBLASLt that Castor calls. The library is opened when the first product needs it, and never linked. Its functions and
// constants are declared here, so that no header of cuBLASLt is needed. Where there is such a header, cublas_check.cpp compares them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

struct CUstream_st;  // the type that CUDA's stream points to

namespace castor::cuda::cublas {

using Handle = void *;       // of the library
using Description = void *;  // of a product
using Matrix = void *;       // of a matrix: its type, size and layout, column by column
using Preference = void *;   // what an algorithm may use
using Status = int;
enum : Status { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };

struct Algorithm { uint64_t data[8]; };
struct Heuristic {
  Algorithm algorithm;
  size_t workspace;
  Status status;
  float waves;
  int reserved[4];
};

enum Type { R_32F = 0, R_64F = 1, R_16F = 2, R_16BF = 14 };
enum Compute { COMPUTE_32F = 68, COMPUTE_64F = 70, COMPUTE_32F_FAST_TF32 = 77 };
enum Operation { OP_N = 0, OP_T = 1 };
enum Epilogue { EPILOGUE_DEFAULT = 1, EPILOGUE_BIAS = 4 };
enum DescriptionAttribute {
  DESCRIPTION_TRANSPOSE_A = 3, DESCRIPTION_TRANSPOSE_B = 4, DESCRIPTION_EPILOGUE = 7, DESCRIPTION_BIAS_POINTER = 8
};
enum MatrixAttribute { MATRIX_BATCH_COUNT = 5, MATRIX_BATCH_STRIDE = 6 };
enum PreferenceAttribute {
  PREFERENCE_WORKSPACE = 1, PREFERENCE_REDUCTION = 3, PREFERENCE_ALIGNMENT_A = 5, PREFERENCE_ALIGNMENT_B = 6, PREFERENCE_ALIGNMENT_C = 7,
  PREFERENCE_ALIGNMENT_D = 8
};
enum Reduction { REDUCTION_NONE = 0, REDUCTION_COMPUTE_TYPE = 2 };

// The library's functions, named cublasLt + name.
#define CASTOR_CUBLAS_FUNCTIONS(X) \
  X(GetVersion, size_t, ()) \
  X(Create, Status, (Handle *)) \
  X(MatmulDescCreate, Status, (Description *, int compute, int scale)) \
  X(MatmulDescDestroy, Status, (Description)) \
  X(MatmulDescSetAttribute, Status, (Description, int attribute, const void *value, size_t bytes)) \
  X(MatrixLayoutCreate, Status, (Matrix *, int type, uint64_t rows, uint64_t columns, int64_t column_stride)) \
  X(MatrixLayoutDestroy, Status, (Matrix)) \
  X(MatrixLayoutSetAttribute, Status, (Matrix, int attribute, const void *value, size_t bytes)) \
  X(MatmulPreferenceCreate, Status, (Preference *)) \
  X(MatmulPreferenceDestroy, Status, (Preference)) \
  X(MatmulPreferenceSetAttribute, Status, (Preference, int attribute, const void *value, size_t bytes)) \
  X(MatmulAlgoGetHeuristic, Status, (Handle, Description, Matrix a, Matrix b, Matrix c, Matrix d, Preference, int wanted, Heuristic *, \
                                     int *found)) \
  X(Matmul, Status, (Handle, Description, const void *alpha, const void *a, Matrix, const void *b, Matrix, const void *beta, \
                     const void *c, Matrix, void *d, Matrix, const Algorithm *, void *workspace, size_t workspace_bytes, CUstream_st *))

struct Library {
#define CASTOR_CUBLAS_POINTER(name, result, arguments) result(*name) arguments;
  CASTOR_CUBLAS_FUNCTIONS(CASTOR_CUBLAS_POINTER)
#undef CASTOR_CUBLAS_POINTER
};

// Null if the library is not to be used (CASTOR_CUBLAS=0) or was not found. With CASTOR_CUBLAS=1 it is an error if it was not found.
const Library *library();
// Whether CASTOR_CUBLAS=1 asks for every product by the library that it can compute.
bool demanded();

}  // namespace castor::cuda::cublas

namespace castor::cuda {

// The library that computes products, for castor_describe: "castor" or "cublasLt 13.0".
std::string matmul_backend();

}  // namespace castor::cuda
