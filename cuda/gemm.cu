// Chooses the kernel that computes a product, and its tile schedule.
#include "gemm_epilogue.h"
#include <algorithm>
#include <cstdlib>
#include <limits>
#include "gemm_kernels.h"
#include "gemm_packed.h"

namespace castor::cuda {
namespace {

// The reduction of split-K: adds the partial sums of all parts of k, in order, and applies the epilogue. A thread takes W neighbouring sums
// of a row. W divides n.
template <class T, int W> __global__ void __launch_bounds__(512)
    gemm_split_k_kernel(const __grid_constant__ GemmProblem p, const __grid_constant__ TileSchedule schedule) {
  using Sums = std::conditional_t<W == 1, Vector<T, 1>, AlignedVector<T, W>>;
  const uint32_t per_row = uint32_t(p.n) / W, per_matrix = p.m * per_row, all = per_matrix * p.batch;
  for (uint32_t e = blockIdx.x * blockDim.x + threadIdx.x; e < all; e += gridDim.x * blockDim.x) {
    const Sums *partial = static_cast<const Sums *>(schedule.partial) + e;
    Sums sum = partial[0];
    for (int s = 1; s < schedule.splits; s++) {
      const Sums next = partial[int64_t(s) * all];
      GPU_UNROLL for (int w = 0; w < W; w++) sum.v[w] = m::add(sum.v[w], next.v[w]);
    }
    const uint32_t batch = e / per_matrix, inside = e - batch * per_matrix, i = inside / per_row, j = (inside - i * per_row) * W;
    const Offsets offset = offsets_of(p, int32_t(batch));
    if (W > 1 && p.c.vectors) {
      store_sums<T, W>(p.c, offset, int32_t(i), int32_t(j), sum);
    } else {
      GPU_UNROLL for (int w = 0; w < W; w++) store_sum(p.c, offset, int32_t(i), int32_t(j) + w, sum.v[w]);
    }
  }
}

template <class T> void reduce_parts(Context &context, const char *name, const GemmProblem &p, const TileSchedule &schedule) {
  constexpr int W = 4;
  const bool in_vectors = p.n % W == 0;
  const int threads = block_threads(256);
  const int64_t blocks = blocks_for(int64_t(p.m) * p.n * p.batch / (in_vectors ? W : 1), threads);
  launch(context, name, in_vectors ? gemm_split_k_kernel<T, W> : gemm_split_k_kernel<T, 1>,
         std::min<int64_t>(blocks, 1 << 16), threads, 0, p, schedule);
}

// Split-K writes partial sums to memory and reads them again. That is worth it only where there are too few tiles to fill the device and k
// is long.
TileSchedule schedule_of(const Context &context, const GemmProblem &p, const TileKernel &kernel) {
  constexpr int64_t LEAST = 512;            // the least depth of a part of k
  constexpr int64_t MOST_SUMS = 1LL << 31;  // of the reduction, which numbers them in 32 bits
  TileSchedule schedule{int32_t(blocks_for(p.m, kernel.tile_m)), int32_t(blocks_for(p.n, kernel.tile_n)), 1, p.k, nullptr};
  const int64_t tiles = int64_t(schedule.tiles_m) * schedule.tiles_n * p.batch, room = int64_t(context.multiprocessors) * kernel.resident;
  const int64_t splits = std::min(room / tiles, p.k / LEAST);
  if (splits > 1 && int64_t(p.m) * p.n * p.batch < MOST_SUMS) {
    schedule.k_per_split = int32_t(blocks_for(blocks_for(p.k, splits), kernel.depth) * kernel.depth);
    schedule.splits = int32_t(blocks_for(p.k, schedule.k_per_split));
  }
  return schedule;
}

int64_t blocks_of(const GemmProblem &p, const TileSchedule &schedule) {
  return int64_t(schedule.tiles_m) * schedule.tiles_n * p.batch * schedule.splits;
}

// Tests request a tile size that a product of their size would not get.
int forced_tile() {
  static const char *text = std::getenv("CASTOR_MATMUL_TILE");
  static const int side = text ? std::atoi(text) : 0;
  return side;
}

// An estimate of the time, in multiplications of one multiprocessor: the blocks that it computes, each with a start and an end that cost
// about as much as ENDS steps of k.
double cost_of(const Context &context, const GemmProblem &p, const TileKernel &kernel) {
  constexpr double ENDS = 128, REDUCTION = 512;
  if (kernel.shared > context.shared_limit) return std::numeric_limits<double>::infinity();
  if (kernel.tile_m == forced_tile()) return 0;
  const TileSchedule schedule = schedule_of(context, p, kernel);
  const double k = std::min(schedule.k_per_split, p.k) + ENDS + (schedule.splits > 1 ? REDUCTION : 0);
  return double(blocks_for(blocks_of(p, schedule), context.multiprocessors)) * kernel.tile_m * kernel.tile_n * k / kernel.speed;
}

const TileKernel &best(const Context &context, const GemmProblem &p, const TileKernel *kernels, int count) {
  const auto cheaper = [&](const TileKernel &x, const TileKernel &y) { return cost_of(context, p, x) < cost_of(context, p, y); };
  return *std::min_element(kernels, kernels + count, cheaper);
}

bool in_vectors(const GemmProblem &p) {
  const Result &c = p.c;
  const MixedRadixIndex &column = c.column;
  bool fit = column.stride[2] == 1 && vector_aligned(c.data, c.dtype) && c.row % VECTOR_WIDTH == 0;
  if (column.low.divisor < uint32_t(p.n))
    fit &= column.low.divisor % VECTOR_WIDTH == 0 && column.stride[1] % VECTOR_WIDTH == 0 && column.stride[0] % VECTOR_WIDTH == 0;
  for (int d = 0; d < p.strides.rank; d++) fit &= p.strides.stride[2][d] % VECTOR_WIDTH == 0;
  return fit;
}

bool in_rows(const GemmProblem &p, const GemmOperand &f, int32_t size) {
  const int64_t vector = 16 / size_of(f.dtype), row = (f.along_k ? f.x : f.k).stride[2], along = (f.along_k ? f.k : f.x).stride[2];
  bool fit = f.x.plain(size) && f.k.plain(p.k) && along == 1 && row % vector == 0 && uintptr_t(f.data) % 16 == 0;
  for (int d = 0; d < p.strides.rank; d++) fit &= p.strides.stride[&f == &p.a ? 0 : 1][d] % vector == 0;
  return fit;
}

bool in_whole_rows(const GemmProblem &p, const GemmOperand &f, int32_t size) {
  return f.in_rows && (f.along_k ? p.k : size) % (16 / size_of(f.dtype)) == 0;
}

}  // namespace

int32_t checked_side(int64_t size) {
  if (size > std::numeric_limits<int32_t>::max() - 1024)
    fail(CASTOR_SHAPE, "a matrix with %lld rows or columns is too large", (long long)size);
  return int32_t(size);
}

template <class T> void run(Context &context, const GemmProblem &p, const TileKernel *kernels, int count) {
  const TileKernel &kernel = best(context, p, kernels, count);
  TileSchedule schedule = schedule_of(context, p, kernel);
  const int64_t sums = int64_t(p.m) * p.n * p.batch, blocks = blocks_of(p, schedule);
  if (blocks > std::numeric_limits<int32_t>::max()) fail(CASTOR_SHAPE, "%d products of %d x %d are too many", p.batch, p.m, p.n);
  const Scratch partial(context, schedule.splits > 1 ? sums * schedule.splits * int64_t(sizeof(T)) : 0);
  schedule.partial = partial.as<void>();
  launch(context, kernel.name, kernel.kernel, blocks, kernel.threads, kernel.shared, p, schedule);
  if (schedule.splits > 1) reduce_parts<T>(context, kernel.name, p, schedule);
}
template void run<float>(Context &, const GemmProblem &, const TileKernel *, int);
template void run<double>(Context &, const GemmProblem &, const TileKernel *, int);
template void run<int64_t>(Context &, const GemmProblem &, const TileKernel *, int);

// cuBLASLt computes the parts as a batch, and their sums are added as those of a split k.
bool multiply_parts(Context &context, const GemmProblem &p, int64_t parts, int64_t a_step, int64_t b_step) {
  constexpr int64_t MOST_BYTES = 1 << 26;  // of the sums of all parts
  const int64_t sums = int64_t(p.m) * p.n * p.batch, bytes = sums * parts * int64_t(sizeof(float));
  if (bytes == 0 || bytes > MOST_BYTES || p.a.dtype == DType::f64 || p.strides.rank > 1) return false;
  GemmProblem all = p;
  all.batch = int32_t(p.batch * parts);
  if (!worth_a_detour(all)) return false;
  const Scratch partial(context, bytes);
  Loop<4> batch;
  append_dimension(batch, parts, {a_step, b_step, sums, 0});
  if (p.strides.rank) append_dimension(batch, p.batch, {p.strides.stride[0][0], p.strides.stride[1][0], int64_t(p.m) * p.n, 0});
  all.strides = make_layout(batch, batch.rank);
  all.c = {partial.as<char>(), DType::f32, p.n, MixedRadixIndex(p.n, 1)};
  if (!multiply_with_cublas(context, all)) return false;
  add_parts(context, p, parts, partial.as<void>());
  return true;
}

void add_parts(Context &context, GemmProblem p, int64_t parts, void *partial) {
  p.c.vectors = in_vectors(p);
  reduce_parts<float>(context, "product in parts", p, {1, 1, int32_t(parts), p.k, partial});
}

void multiply(Context &context, GemmProblem p) {
  p.c.vectors = in_vectors(p);
  p.a.in_rows = in_rows(p, p.a, p.m);
  p.b.in_rows = in_rows(p, p.b, p.n);
  p.a.whole = in_whole_rows(p, p.a, p.m);
  p.b.whole = in_whole_rows(p, p.b, p.n);
  const bool same = p.a.dtype == p.b.dtype;
  if (same && is_float(p.a.dtype) && p.a.dtype != DType::f64 && is_skinny(p)) return multiply_skinny(context, p);
  if (multiply_with_cublas(context, p)) return;
  if (!same || p.a.dtype == DType::f64 || !is_float(p.a.dtype)) return multiply_any(context, p);
  if (has_few_rows(p) && !(p.a.in_rows && p.b.in_rows)) return multiply_few_rows(context, p);
  const Packed a(context, p, p.a, p.m), b(context, p, p.b, p.n);
  switch (p.a.dtype) {
    case DType::f16: return multiply_half(context, p);
    case DType::bf16: return multiply_bfloat(context, p);
    default: return float32_precision() == Precision::highest ? multiply_float(context, p) : multiply_tf32(context, p);
  }
}

}  // namespace castor::cuda
