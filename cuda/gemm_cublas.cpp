// Products by cuBLASLt. It uses column-major matrices, so it sees the transposes of Castor's row-major ones, and computes c^T (n, m) = b^T
// a^T.
#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include "cublas.h"
#include "gemm_kernels.h"

namespace castor::cuda {
namespace {

using namespace cublas;

constexpr int64_t WORKSPACE = 32 << 20;  // bytes, at most
constexpr size_t MOST_PLANS = 4096;

int type_of(DType dtype) { return dtype == DType::f16 ? R_16F : dtype == DType::bf16 ? R_16BF : dtype == DType::f64 ? R_64F : R_32F; }

// A matrix in the form in which it is described to the library.
struct Columns {
  int64_t rows, columns, stride, batch_stride;  // stride: from column to column
  bool transposed;
  const void *data;
  DType dtype;
};

// The alignment of an address and of steps in bytes, which decides how wide accesses can be. A power of two up to 256.
uint32_t alignment_of(const void *data, int64_t steps = 0) {
  const uint64_t bits = uint64_t(reinterpret_cast<uintptr_t>(data)) | uint64_t(steps) | 256;
  return uint32_t(bits & -bits);
}
uint32_t alignment_of(const Columns &m) { return alignment_of(m.data, (m.stride | m.batch_stride) * size_of(m.dtype)); }

// Describes an operand, x by k. The library wants the first one with x as rows and the second one with x as columns.
bool columns_of(const GemmOperand &f, int64_t size, int64_t k, int64_t batch_stride, bool first, Columns &m) {
  const int64_t rows = f.along_k ? k : size, columns = f.along_k ? size : k;
  const int64_t along = (f.along_k ? f.k : f.x).stride[2], stride = columns == 1 ? rows : (f.along_k ? f.x : f.k).stride[2];
  m = {rows, columns, stride, batch_stride, f.along_k == first, f.data, f.dtype};
  return (along == 1 || rows == 1) && stride >= rows;
}

// Everything that the library's choice of an algorithm may depend on.
using Key = std::array<int64_t, 18>;

struct Problem {
  Columns a, b, c;  // in the library's order: Castor's b, a and c
  int compute, scale, epilogue;
  int64_t batch;
  const void *bias;

  // The library has no setting for the alignment of the bias and assumes that of d.
  uint32_t d_alignment() const { return std::min(alignment_of(c), alignment_of(bias)); }

  Key key() const {
    return {a.rows,
            a.columns,
            a.stride,
            a.batch_stride,
            b.rows,
            b.columns,
            b.stride,
            b.batch_stride,
            c.rows,
            c.columns,
            c.stride,
            c.batch_stride,
            a.transposed + 2 * b.transposed,
            int64_t(a.dtype) * 16 + int64_t(c.dtype),
            compute,
            epilogue,
            batch,
            int64_t(alignment_of(a)) << 20 | alignment_of(b) << 10 | d_alignment()};
  }
};

int epilogue_of(const Result &c) {
  const int activation = c.activation == Activation::relu ? EPILOGUE_RELU : c.activation == Activation::geluTanh ? EPILOGUE_GELU : 0;
  const int both = (c.bias ? EPILOGUE_BIAS : 0) | activation;
  return both ? both : EPILOGUE_DEFAULT;
}

// Describes a product for the library. Returns whether the library can compute it.
bool describe(const GemmProblem &p, Problem &problem) {
  const Result &c = p.c;
  const DType in = p.a.dtype;
  if (in != p.b.dtype || !is_float(in) || (c.dtype != in && !(c.dtype == DType::f32 && in != DType::f64))) return false;
  if (p.k == 0 || p.strides.rank > 1 || c.activation == Activation::gelu) return false;
  if (c.bias && (c.bias_dtype != c.dtype || c.bias_column != 1 || c.bias_row != 0)) return false;
  if (!p.a.x.plain(p.m) || !p.a.k.plain(p.k) || !p.b.x.plain(p.n) || !p.b.k.plain(p.k) || !c.column.plain(p.n)) return false;
  int64_t step[3] = {};
  for (int i = 0; i < 3 && p.strides.rank; i++) step[i] = p.strides.stride[i][0];
  if (!columns_of(p.b, p.n, p.k, step[1], true, problem.a) || !columns_of(p.a, p.m, p.k, step[0], false, problem.b)) return false;
  const int64_t stride = p.m == 1 ? p.n : c.row;
  problem.c = {p.n, p.m, stride, step[2], false, c.data, c.dtype};
  const bool tf32 = in == DType::f32 && float32_precision() != Precision::highest;
  problem.compute = in == DType::f64 ? COMPUTE_64F : tf32 ? COMPUTE_32F_FAST_TF32 : COMPUTE_32F;
  problem.scale = in == DType::f64 ? R_64F : R_32F;
  problem.epilogue = epilogue_of(c);
  problem.batch = p.batch, problem.bias = c.bias;
  return (c.column.stride[2] == 1 || p.n == 1) && stride >= p.n;
}

// The library's description of a problem and the algorithm that it chose. There is no algorithm if the library has none.
struct Plan {
  Description description = nullptr;
  Matrix a = nullptr, b = nullptr, c = nullptr;
  Heuristic chosen{};
  bool possible = false;
};

// The plans of one device. They are not for two threads at once, because a description contains the address of the bias of its next call.
class Plans {
 public:
  explicit Plans(const Library &library) : library_(library) {
    if (library_.Create(&handle_) != SUCCESS) handle_ = nullptr;
  }

  // Returns false if the library has no algorithm for this problem.
  bool run(Context &context, const Problem &problem) {
    if (!handle_) return false;
    const Plan &plan = plan_of(problem);
    if (!plan.possible) return false;
    if (problem.bias) set(plan.description, DESCRIPTION_BIAS_POINTER, problem.bias);
    const Scratch workspace(context, int64_t(plan.chosen.workspace));
    const struct { float f; double d; } one{1, 1}, zero{0, 0};
    const bool wide = problem.scale == R_64F;
    const auto scale = [&](const auto &value) { return wide ? static_cast<const void *>(&value.d) : &value.f; };
    void *c = const_cast<void *>(problem.c.data);
    const Status status =
        library_.Matmul(handle_, plan.description, scale(one), problem.a.data, plan.a, problem.b.data, plan.b, scale(zero), c, plan.c, c,
                        plan.c, &plan.chosen.algorithm, workspace.as<void>(), plan.chosen.workspace, context.stream);
    if (status != SUCCESS) fail(CASTOR_INTERNAL, "cublasLtMatmul failed with status %d", status);
    return true;
  }

 private:
  const Library &library_;
  Handle handle_ = nullptr;
  std::map<Key, Plan> plans_;

  const Plan &plan_of(const Problem &problem) {
    const Key key = problem.key();
    const auto known = plans_.find(key);
    if (known != plans_.end()) return known->second;
    if (plans_.size() == MOST_PLANS) forget();
    return plans_[key] = made(problem);
  }

  Matrix matrix(const Columns &m, int64_t batch) const {
    Matrix made = nullptr;
    library_.MatrixLayoutCreate(&made, type_of(m.dtype), uint64_t(m.rows), uint64_t(m.columns), m.stride);
    const int32_t count = int32_t(batch);
    library_.MatrixLayoutSetAttribute(made, MATRIX_BATCH_COUNT, &count, sizeof count);
    library_.MatrixLayoutSetAttribute(made, MATRIX_BATCH_STRIDE, &m.batch_stride, sizeof m.batch_stride);
    return made;
  }

  template <class T> void set(Description d, int attribute, T value) const {
    library_.MatmulDescSetAttribute(d, attribute, &value, sizeof value);
  }
  template <class T> void prefer(Preference p, int attribute, T value) const {
    library_.MatmulPreferenceSetAttribute(p, attribute, &value, sizeof value);
  }

  Plan made(const Problem &problem) const {
    Plan plan;
    library_.MatmulDescCreate(&plan.description, problem.compute, problem.scale);
    set(plan.description, DESCRIPTION_TRANSPOSE_A, int32_t(problem.a.transposed ? OP_T : OP_N));
    set(plan.description, DESCRIPTION_TRANSPOSE_B, int32_t(problem.b.transposed ? OP_T : OP_N));
    set(plan.description, DESCRIPTION_EPILOGUE, uint32_t(problem.epilogue));
    plan.a = matrix(problem.a, problem.batch), plan.b = matrix(problem.b, problem.batch), plan.c = matrix(problem.c, problem.batch);

    Preference preference = nullptr;
    library_.MatmulPreferenceCreate(&preference);
    prefer(preference, PREFERENCE_WORKSPACE, uint64_t(WORKSPACE));
    prefer(preference, PREFERENCE_REDUCTION, uint32_t(REDUCTION_NONE | REDUCTION_COMPUTE_TYPE));  // parts of k are summed in float32
    prefer(preference, PREFERENCE_ALIGNMENT_A, alignment_of(problem.a));
    prefer(preference, PREFERENCE_ALIGNMENT_B, alignment_of(problem.b));
    prefer(preference, PREFERENCE_ALIGNMENT_C, alignment_of(problem.c));
    prefer(preference, PREFERENCE_ALIGNMENT_D, problem.d_alignment());
    int found = 0;
    const Status status =
      library_.MatmulAlgoGetHeuristic(handle_, plan.description, plan.a, plan.b, plan.c, plan.c, preference, 1, &plan.chosen, &found);
    plan.possible = status == SUCCESS && found > 0 && plan.chosen.status == SUCCESS;
    library_.MatmulPreferenceDestroy(preference);
    return plan;
  }

  void forget() {
    for (auto &[key, plan] : plans_) {
      library_.MatmulDescDestroy(plan.description);
      for (Matrix m : {plan.a, plan.b, plan.c}) library_.MatrixLayoutDestroy(m);
    }
    plans_.clear();
  }
};

}  // namespace

bool multiply_with_cublas(Context &context, const GemmProblem &p) {
  const Library *library = cublas::library();
  Problem problem;
  if (!library || !describe(p, problem)) return false;
  static std::mutex lock;
  static std::map<int, Plans> devices;
  const std::lock_guard<std::mutex> guard(lock);
  return devices.try_emplace(context.ordinal, *library).first->second.run(context, problem);
}

}  // namespace castor::cuda
