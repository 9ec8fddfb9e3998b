// The part of cuBLASLt that Castor calls, computed by plain loops on memory that the host can access. On the emulator it shows that
// matrices, epilogues and algorithms are described correctly. It writes a line to stderr for each choice of an algorithm.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "../../../cuda/cublas.h"
#include "../tensor.h"

namespace {

using namespace castor::cuda::cublas;

[[noreturn]] void refuse(const char *why) {
  std::fprintf(stderr, "fake cuBLASLt: %s\n", why);
  std::abort();
}
void expect(bool right, const char *why) {
  if (!right) refuse(why);
}

constexpr size_t WORKSPACE = 1024;

struct FakeDescription {
  int compute, scale;
  int32_t transpose[2] = {OP_N, OP_N};
  uint32_t epilogue = EPILOGUE_DEFAULT;
  const void *bias = nullptr;
};
struct FakeMatrix {
  int type;
  uint64_t rows, columns;
  int64_t stride;
  int32_t batch = 1;
  int64_t batch_stride = 0;
};
struct FakePreference {
  uint64_t workspace = 0;
  uint32_t reduction = 7, alignment[4] = {256, 256, 256, 256};
};

template <class T> T value_of(const void *value, size_t bytes) {
  expect(bytes == sizeof(T), "an attribute of the wrong size");
  T x;
  std::memcpy(&x, value, sizeof x);
  return x;
}

castor_dtype dtype_of(int type) {
  switch (type) {
    case R_32F: return CASTOR_FLOAT32;
    case R_64F: return CASTOR_FLOAT64;
    case R_16F: return CASTOR_FLOAT16;
    case R_16BF: return CASTOR_BFLOAT16;
    default: refuse("an unknown type");
  }
}

char *place(const FakeMatrix &m, const void *data, int64_t batch, uint64_t row, uint64_t column) {
  const int64_t offset = batch * m.batch_stride + int64_t(row) + int64_t(column) * m.stride;
  return const_cast<char *>(static_cast<const char *>(data)) + offset * tests::size_of(dtype_of(m.type));
}
double element(const FakeMatrix &m, const void *data, int64_t batch, uint64_t row, uint64_t column) {
  return tests::read_element(dtype_of(m.type), place(m, data, batch, row, column));
}

double finished(const FakeDescription &d, const FakeMatrix &c, double sum, uint64_t row) {
  const castor_dtype dtype = dtype_of(c.type);
  if (d.epilogue & EPILOGUE_BIAS)
    sum += tests::read_element(dtype, static_cast<const char *>(d.bias) + row * uint64_t(tests::size_of(dtype)));
  return sum;
}

uint64_t inner(const FakeDescription &d, const FakeMatrix &a, const FakeMatrix &b, const FakeMatrix &c) {
  const bool ta = d.transpose[0] == OP_T, tb = d.transpose[1] == OP_T;
  for (const FakeMatrix *m : {&a, &b, &c})
    expect(m->stride >= int64_t(m->rows) && m->batch == c.batch, "a stride below the rows, or another batch");
  expect((ta ? a.columns : a.rows) == c.rows && (tb ? b.rows : b.columns) == c.columns, "sizes that do not fit");
  expect((ta ? a.rows : a.columns) == (tb ? b.columns : b.rows), "inner sizes that differ");
  return ta ? a.rows : a.columns;
}

}  // namespace

#define FAKE(name, result, arguments) \
  extern "C" __attribute__((visibility("default"))) castor::cuda::cublas::result cublasLt##name arguments

// The symbol by which the emulator recognises this library.
extern "C" __attribute__((visibility("default"))) const int castor_fake_cublas = 1;
extern "C" __attribute__((visibility("default"))) size_t cublasLtGetVersion() { return 130100; }
FAKE(Create, Status, (Handle *handle)) {
  static int one;
  *handle = &one;
  return SUCCESS;
}
FAKE(MatmulDescCreate, Status, (Description *d, int compute, int scale)) {
  *d = new FakeDescription{compute, scale};
  return SUCCESS;
}
FAKE(MatmulDescDestroy, Status, (Description d)) {
  delete static_cast<FakeDescription *>(d);
  return SUCCESS;
}
FAKE(MatmulDescSetAttribute, Status, (Description description, int attribute, const void *value, size_t bytes)) {
  auto &d = *static_cast<FakeDescription *>(description);
  switch (attribute) {
    case DESCRIPTION_TRANSPOSE_A: d.transpose[0] = value_of<int32_t>(value, bytes); break;
    case DESCRIPTION_TRANSPOSE_B: d.transpose[1] = value_of<int32_t>(value, bytes); break;
    case DESCRIPTION_EPILOGUE: d.epilogue = value_of<uint32_t>(value, bytes); break;
    case DESCRIPTION_BIAS_POINTER: d.bias = value_of<const void *>(value, bytes); break;
    default: refuse("an unknown attribute of a description");
  }
  return SUCCESS;
}
FAKE(MatrixLayoutCreate, Status, (Matrix *m, int type, uint64_t rows, uint64_t columns, int64_t stride)) {
  *m = new FakeMatrix{type, rows, columns, stride};
  return SUCCESS;
}
FAKE(MatrixLayoutDestroy, Status, (Matrix m)) {
  delete static_cast<FakeMatrix *>(m);
  return SUCCESS;
}
FAKE(MatrixLayoutSetAttribute, Status, (Matrix matrix, int attribute, const void *value, size_t bytes)) {
  auto &m = *static_cast<FakeMatrix *>(matrix);
  switch (attribute) {
    case MATRIX_BATCH_COUNT: m.batch = value_of<int32_t>(value, bytes); break;
    case MATRIX_BATCH_STRIDE: m.batch_stride = value_of<int64_t>(value, bytes); break;
    default: refuse("an unknown attribute of a matrix");
  }
  return SUCCESS;
}
FAKE(MatmulPreferenceCreate, Status, (Preference *p)) {
  *p = new FakePreference;
  return SUCCESS;
}
FAKE(MatmulPreferenceDestroy, Status, (Preference p)) {
  delete static_cast<FakePreference *>(p);
  return SUCCESS;
}
FAKE(MatmulPreferenceSetAttribute, Status, (Preference preference, int attribute, const void *value, size_t bytes)) {
  auto &p = *static_cast<FakePreference *>(preference);
  switch (attribute) {
    case PREFERENCE_WORKSPACE: p.workspace = value_of<uint64_t>(value, bytes); break;
    case PREFERENCE_REDUCTION: p.reduction = value_of<uint32_t>(value, bytes); break;
    case PREFERENCE_ALIGNMENT_A: case PREFERENCE_ALIGNMENT_B: case PREFERENCE_ALIGNMENT_C: case PREFERENCE_ALIGNMENT_D:
      p.alignment[attribute - PREFERENCE_ALIGNMENT_A] = value_of<uint32_t>(value, bytes);
      break;
    default: refuse("an unknown attribute of a preference");
  }
  return SUCCESS;
}

// The algorithm contains the alignments that it was chosen for, so that Matmul can check those of its arguments.
FAKE(MatmulAlgoGetHeuristic, Status,
     (Handle, Description description, Matrix, Matrix, Matrix, Matrix, Preference preference, int wanted, Heuristic *chosen, int *found)) {
  const auto &d = *static_cast<FakeDescription *>(description);
  const auto &p = *static_cast<FakePreference *>(preference);
  expect(wanted == 1 && p.workspace >= WORKSPACE && p.reduction == (REDUCTION_NONE | REDUCTION_COMPUTE_TYPE),
         "other preferences than agreed");
  *chosen = {};
  for (int i = 0; i < 4; i++) chosen->algorithm.data[i] = p.alignment[i];
  expect((d.epilogue == EPILOGUE_BIAS) == (d.bias != nullptr), "an epilogue that does not agree with the address of the bias");
  const uint64_t bias = uintptr_t(d.bias) | 256;
  chosen->algorithm.data[4] = bias & -bias;
  chosen->workspace = WORKSPACE;
  *found = 1;
  std::fprintf(stderr, "fake cuBLASLt: an algorithm is chosen\n");
  return SUCCESS;
}

FAKE(Matmul, Status, (Handle, Description description, const void *alpha, const void *a, Matrix a_matrix, const void *b, Matrix b_matrix,
                      const void *beta, const void *c, Matrix c_matrix, void *d, Matrix d_matrix, const Algorithm *algorithm,
                      void *workspace, size_t workspace_bytes, CUstream_st *)) {
  const auto &how = *static_cast<FakeDescription *>(description);
  const auto &x = *static_cast<FakeMatrix *>(a_matrix), &y = *static_cast<FakeMatrix *>(b_matrix),
             &w = *static_cast<FakeMatrix *>(c_matrix), &z = *static_cast<FakeMatrix *>(d_matrix);
  const uint64_t k = inner(how, x, y, z);
  if (const char *status = std::getenv("CASTOR_FAKE_CUBLAS_STATUS")) return std::atoi(status);
  const bool wide = how.scale == R_64F;
  const auto scale = [&](const void *value) { return wide ? *static_cast<const double *>(value) : *static_cast<const float *>(value); };
  const bool adds = scale(beta) == 1;
  expect(scale(alpha) == 1 && (adds || scale(beta) == 0), "alpha is not 1, or beta neither 0 nor 1");
  expect(w.type == z.type && w.rows == z.rows && w.columns == z.columns && w.batch == z.batch, "c is not like d");
  expect(workspace && workspace_bytes >= WORKSPACE, "no workspace");
  const void *const pointers[] = {a, b, c, d, how.bias};
  for (int i = 0; i < 5; i++) expect(uintptr_t(pointers[i]) % algorithm->data[i] == 0, "less alignment than the algorithm was chosen for");
  for (int64_t i = 0; i < z.batch; i++)
    for (uint64_t row = 0; row < z.rows; row++)
      for (uint64_t column = 0; column < z.columns; column++) {
        double sum = adds ? element(w, c, i, row, column) : 0;
        for (uint64_t p = 0; p < k; p++)
          sum += (how.transpose[0] == OP_T ? element(x, a, i, p, row) : element(x, a, i, row, p)) *
                 (how.transpose[1] == OP_T ? element(y, b, i, column, p) : element(y, b, i, p, column));
        tests::write_element(dtype_of(z.type), place(z, d, i, row, column), finished(how, z, sum, row));
      }
  return SUCCESS;
}
