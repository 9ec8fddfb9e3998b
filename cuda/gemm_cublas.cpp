// Products by cuBLASLt. It uses column-major matrices, so it sees the transposes of Castor's row-major ones, and computes c^T (n, m) = b^T
// a^T.
#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include "../kernels/table.h"
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
using Key = std::array<int64_t, 21>;

struct Problem {
  Columns a, b, d;  // in the library's order: Castor's b, a and c
  int compute, scale;
  int64_t batch;
  const void *bias;         // of Castor's columns, or null
  Columns added;            // a matrix that is added to the product
  bool adds = false;        // whether there is one

  const Columns &c() const { return adds ? added : d; }

  Key key() const {
    return {a.rows,
            a.columns,
            a.stride,
            a.batch_stride,
            b.rows,
            b.columns,
            b.stride,
            b.batch_stride,
            d.rows,
            d.columns,
            d.stride,
            d.batch_stride,
            c().stride,
            c().batch_stride,
            a.transposed + 2 * b.transposed + 4 * adds + 8 * (bias != nullptr),
            int64_t(a.dtype) * 16 + int64_t(d.dtype),
            compute,
            batch,
            int64_t(alignment_of(a)) << 10 | alignment_of(b),
            int64_t(alignment_of(c())) << 10 | alignment_of(d),
            alignment_of(bias)};
  }
};

// Describes a product for the library, but for its bias. Returns whether the library can compute it. Activations are left to Castor's own
// kernels: the library does not say what its RELU makes of NaN, nor that its GELU is more exact than the tanh of the hardware (2^-11).
bool describe(const GemmProblem &p, Problem &problem) {
  const Result &c = p.c;
  const DType in = p.a.dtype;
  if (in != p.b.dtype || !is_float(in) || (c.dtype != in && !(c.dtype == DType::f32 && in != DType::f64))) return false;
  if (p.k == 0 || p.strides.rank > 1 || c.activation != Activation::none || (c.bias && c.bias_dtype != c.dtype)) return false;
  if (!p.a.x.plain(p.m) || !p.a.k.plain(p.k) || !p.b.x.plain(p.n) || !p.b.k.plain(p.k) || !c.column.plain(p.n)) return false;
  int64_t step[3] = {};
  for (int i = 0; i < 3 && p.strides.rank; i++) step[i] = p.strides.stride[i][0];
  if (!columns_of(p.b, p.n, p.k, step[1], true, problem.a) || !columns_of(p.a, p.m, p.k, step[0], false, problem.b)) return false;
  const int64_t stride = p.m == 1 ? p.n : c.row;
  problem.d = {p.n, p.m, stride, step[2], false, c.data, c.dtype};
  const bool tf32 = in == DType::f32 && float32_precision() != Precision::highest;
  problem.compute = in == DType::f64 ? COMPUTE_64F : tf32 ? COMPUTE_32F_FAST_TF32 : COMPUTE_32F;
  problem.scale = in == DType::f64 ? R_64F : R_32F;
  problem.batch = p.batch, problem.bias = nullptr;
  return (c.column.stride[2] == 1 || p.n == 1) && stride >= p.n;
}

// The library's description of a problem and the algorithm that it chose. There is no algorithm if the library has none.
struct Plan {
  Description description = nullptr;
  Matrix a = nullptr, b = nullptr, c = nullptr, d = nullptr;
  Heuristic chosen{};
  bool possible = false;
};

// The plans of one device. They are not for two threads at once, because a description contains the address of the bias of its next call.
class Plans {
 public:
  explicit Plans(const Library &library) : library_(library) {
    if (library_.Create(&handle_) != SUCCESS) handle_ = nullptr;
  }

  // Returns false if the library has no algorithm for this problem, or the one that it chose does not support it after all.
  bool run(Context &context, const Problem &problem) {
    if (!handle_) return false;
    Plan &plan = plan_of(problem);
    if (!plan.possible) return false;
    if (problem.bias) set(plan.description, DESCRIPTION_BIAS_POINTER, problem.bias);
    const Scratch workspace(context, int64_t(plan.chosen.workspace));
    const struct { float f; double d; } one{1, 1}, zero{0, 0};
    const bool wide = problem.scale == R_64F;
    const auto scale = [&](const auto &value) { return wide ? static_cast<const void *>(&value.d) : &value.f; };
    const Status status =
        library_.Matmul(handle_, plan.description, scale(one), problem.a.data, plan.a, problem.b.data, plan.b,
                        scale(problem.adds ? one : zero), problem.c().data, plan.c, const_cast<void *>(problem.d.data), plan.d,
                        &plan.chosen.algorithm, workspace.as<void>(), plan.chosen.workspace, context.stream);
    plan.possible = status != NOT_SUPPORTED && status != INVALID_VALUE;
    if (plan.possible && status != SUCCESS) fail(CASTOR_INTERNAL, "cublasLtMatmul failed with status %d", status);
    return plan.possible;
  }

 private:
  const Library &library_;
  Handle handle_ = nullptr;
  std::map<Key, Plan> plans_;

  Plan &plan_of(const Problem &problem) {
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
    set(plan.description, DESCRIPTION_EPILOGUE, uint32_t(problem.bias ? EPILOGUE_BIAS : EPILOGUE_DEFAULT));
    // The library derives the alignment of the bias from its address.
    if (problem.bias) set(plan.description, DESCRIPTION_BIAS_POINTER, problem.bias);
    plan.a = matrix(problem.a, problem.batch), plan.b = matrix(problem.b, problem.batch);
    plan.c = matrix(problem.c(), problem.batch), plan.d = matrix(problem.d, problem.batch);

    Preference preference = nullptr;
    library_.MatmulPreferenceCreate(&preference);
    prefer(preference, PREFERENCE_WORKSPACE, uint64_t(WORKSPACE));
    prefer(preference, PREFERENCE_REDUCTION, uint32_t(REDUCTION_NONE | REDUCTION_COMPUTE_TYPE));  // parts of k are summed in float32
    prefer(preference, PREFERENCE_ALIGNMENT_A, alignment_of(problem.a));
    prefer(preference, PREFERENCE_ALIGNMENT_B, alignment_of(problem.b));
    prefer(preference, PREFERENCE_ALIGNMENT_C, alignment_of(problem.c()));
    prefer(preference, PREFERENCE_ALIGNMENT_D, alignment_of(problem.d));
    int found = 0;
    const Status status =
      library_.MatmulAlgoGetHeuristic(handle_, plan.description, plan.a, plan.b, plan.c, plan.d, preference, 1, &plan.chosen, &found);
    plan.possible = status == SUCCESS && found > 0 && plan.chosen.status == SUCCESS;
    library_.MatmulPreferenceDestroy(preference);
    return plan;
  }

  void forget() {
    for (auto &[key, plan] : plans_) {
      library_.MatmulDescDestroy(plan.description);
      for (Matrix m : {plan.a, plan.b, plan.c, plan.d}) library_.MatrixLayoutDestroy(m);
    }
    plans_.clear();
  }
};

bool run(Context &context, const Library &library, const Problem &problem) {
  static std::mutex lock;
  static std::map<int, Plans> devices;
  const std::lock_guard<std::mutex> guard(lock);
  return devices.try_emplace(context.ordinal, library).first->second.run(context, problem);
}

// A bias of rows, such as that of a convolution. The library has none along these, so a matrix is added, which is the same for all matrices
// of the batch that have the same bias.
bool run_with_bias_of_rows(Context &context, const Library &library, const GemmProblem &p, Problem problem) {
  const Result &c = p.c;
  if (!worth_a_detour(p)) return false;
  const int64_t step = p.strides.rank ? p.strides.stride[3][0] : 0, count = step ? p.batch : 1;
  const int64_t pitch = blocks_for(p.n, VECTOR_WIDTH) * VECTOR_WIDTH, size[] = {count, p.m, p.n};
  const int64_t from_stride[] = {step, c.bias_row, 0}, to_stride[] = {p.m * pitch, pitch, 1};
  const Scratch memory(context, count * p.m * pitch * size_of(c.dtype));
  View from, to;
  from.data = const_cast<char *>(c.bias), to.data = memory.as<void>();
  from.dtype = to.dtype = c.dtype, from.device = to.device = context.id, from.rank = to.rank = 3;
  for (int axis = 0; axis < 3; axis++) {
    from.size[axis] = to.size[axis] = size[axis];
    from.stride[axis] = from_stride[axis], to.stride[axis] = to_stride[axis];
  }
  copy(from, to);
  problem.added = {p.n, p.m, pitch, step ? p.m * pitch : 0, false, to.data, c.dtype};
  problem.adds = true;
  return run(context, library, problem);
}

// A batch with two axes that are not one: a call for each index of the shorter one.
bool run_each(Context &context, const GemmProblem &p) {
  constexpr uint32_t MOST = 64;
  const Layout<4> &all = p.strides;
  const int outer = all.size[0].divisor <= all.size[1].divisor ? 0 : 1, inner = 1 - outer;
  const uint32_t calls = all.size[outer].divisor;
  GemmProblem each = p;
  each.batch = int32_t(all.size[inner].divisor);
  if (all.rank != 2 || calls > MOST || !worth_a_detour(each)) return false;
  each.strides.rank = 1;
  each.strides.size[0] = all.size[inner];
  for (int f = 0; f < 4; f++) each.strides.stride[f][0] = all.stride[f][inner];
  const auto moved = [&](const char *data, DType dtype, int f, int64_t i) { return data + i * all.stride[f][outer] * size_of(dtype); };
  for (uint32_t i = 0; i < calls; i++) {
    each.a.data = moved(p.a.data, p.a.dtype, 0, i), each.b.data = moved(p.b.data, p.b.dtype, 1, i);
    each.c.data = const_cast<char *>(moved(p.c.data, p.c.dtype, 2, i));
    if (p.c.bias) each.c.bias = moved(p.c.bias, p.c.bias_dtype, 3, i);
    if (!multiply_with_cublas(context, each)) return false;
  }
  return true;
}

}  // namespace

bool products_by_cublas(double multiplications, bool condition) {
  constexpr double LEAST = 1 << 24;
  return cublas::library() && (cublas::demanded() || (condition && multiplications >= LEAST));
}

bool worth_a_detour(const GemmProblem &p) { return products_by_cublas(double(p.m) * p.n * p.k * p.batch, true); }

bool multiply_with_cublas(Context &context, const GemmProblem &p) {
  const Library *library = cublas::library();
  if (!library) return false;
  if (p.strides.rank > 1) return run_each(context, p);
  Problem problem;
  if (!describe(p, problem)) return false;
  const Result &c = p.c;
  // One call adds one bias.
  const bool same = p.strides.rank == 0 || p.strides.stride[3][0] == 0;
  if (c.bias && (c.bias_column != 1 || c.bias_row != 0 || !same))
    return c.bias_column == 0 && run_with_bias_of_rows(context, *library, p, problem);
  problem.bias = c.bias;
  return run(context, *library, problem);
}

}  // namespace castor::cuda
