// Which kernel computes a product, and in how many parts.
#include "gemm.h"
#include <algorithm>
#include <cstdlib>
#include <limits>
#include "gemm_kernels.h"
#include "gemm_packed.h"

namespace castor::cuda {
namespace {

// The sum of what the parts of k gave, in their order.
template <class T> __global__ void gemm_join_kernel(const __grid_constant__ Product p, const __grid_constant__ Cut cut) {
  const int64_t matrix = int64_t(p.m) * p.n, all = matrix * p.batch;
  for (int64_t e = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; e < all; e += int64_t(gridDim.x) * blockDim.x) {
    const T *partial = static_cast<const T *>(cut.partial) + e;
    T sum = partial[0];
    for (int s = 1; s < cut.splits; s++) sum = m::add(sum, partial[s * all]);
    const int64_t batch = e / matrix, inside = e - batch * matrix, i = inside / p.n;
    store_sum(p.c, offsets_of(p, int32_t(batch)), int32_t(i), int32_t(inside - i * p.n), sum);
  }
}

// Parts of k are worth their sums' way through memory only where there are too few tiles and a long way to go.
Cut cut_of(const Context &context, const Product &p, const TileKernel &kernel) {
  constexpr int64_t LEAST = 512;  // of k in a part
  Cut cut{int32_t(blocks_for(p.m, kernel.tile_m)), int32_t(blocks_for(p.n, kernel.tile_n)), 1, p.k, nullptr};
  const int64_t tiles = int64_t(cut.tiles_m) * cut.tiles_n * p.batch, room = int64_t(context.multiprocessors) * kernel.resident;
  const int64_t splits = std::min(room / tiles, p.k / LEAST);
  if (splits > 1) {
    cut.k_each = int32_t(blocks_for(blocks_for(p.k, splits), kernel.depth) * kernel.depth);
    cut.splits = int32_t(blocks_for(p.k, cut.k_each));
  }
  return cut;
}

int64_t blocks_of(const Product &p, const Cut &cut) { return int64_t(cut.tiles_m) * cut.tiles_n * p.batch * cut.splits; }

// Tests ask for a tile that a product of their size would not get.
int forced_tile() {
  static const char *text = std::getenv("CASTOR_MATMUL_TILE");
  static const int side = text ? std::atoi(text) : 0;
  return side;
}

// In multiplications of one multiprocessor, roughly: the blocks it gets, each with a beginning and an end worth some of k.
double cost_of(const Context &context, const Product &p, const TileKernel &kernel) {
  constexpr double ENDS = 128, JOIN = 512;
  if (kernel.shared > context.shared_limit) return std::numeric_limits<double>::infinity();
  if (kernel.tile_m == forced_tile()) return 0;
  const Cut cut = cut_of(context, p, kernel);
  const double k = std::min(cut.k_each, p.k) + ENDS + (cut.splits > 1 ? JOIN : 0);
  return double(blocks_for(blocks_of(p, cut), context.multiprocessors)) * kernel.tile_m * kernel.tile_n * k / kernel.speed;
}

const TileKernel &best(const Context &context, const Product &p, const TileKernel *kernels, int count) {
  const auto cheaper = [&](const TileKernel &x, const TileKernel &y) { return cost_of(context, p, x) < cost_of(context, p, y); };
  return *std::min_element(kernels, kernels + count, cheaper);
}

bool in_packets(const Product &p) {
  const Result &c = p.c;
  const Digits &column = c.column;
  bool fit = column.stride[2] == 1 && packet_aligned(c.data, c.dtype) && c.row % PACKET == 0;
  if (column.low.divisor < uint32_t(p.n))
    fit &= column.low.divisor % PACKET == 0 && column.stride[1] % PACKET == 0 && column.stride[0] % PACKET == 0;
  for (int d = 0; d < p.strides.rank; d++) fit &= p.strides.stride[2][d] % PACKET == 0;
  return fit;
}

bool in_rows(const Product &p, const Factor &f, int32_t size) {
  const int64_t packet = 16 / size_of(f.dtype), row = (f.along_k ? f.x : f.k).stride[2], along = (f.along_k ? f.k : f.x).stride[2];
  bool fit = f.x.plain(size) && f.k.plain(p.k) && along == 1 && row % packet == 0 && uintptr_t(f.data) % 16 == 0;
  for (int d = 0; d < p.strides.rank; d++) fit &= p.strides.stride[&f == &p.a ? 0 : 1][d] % packet == 0;
  return fit;
}

}  // namespace

int32_t checked_side(int64_t size) {
  if (size > std::numeric_limits<int32_t>::max() - 1024) fail(CASTOR_SHAPE, "a product with a side of %lld", (long long)size);
  return int32_t(size);
}

template <class T> void run(Context &context, const Product &p, const TileKernel *kernels, int count) {
  const TileKernel &kernel = best(context, p, kernels, count);
  Cut cut = cut_of(context, p, kernel);
  const int64_t sums = int64_t(p.m) * p.n * p.batch, blocks = blocks_of(p, cut);
  if (blocks > std::numeric_limits<int32_t>::max()) fail(CASTOR_SHAPE, "%d products of %d x %d are too many", p.batch, p.m, p.n);
  const Scratch partial(context, cut.splits > 1 ? sums * cut.splits * int64_t(sizeof(T)) : 0);
  cut.partial = partial.as<void>();
  launch(context, kernel.name, kernel.kernel, dim3(unsigned(blocks)), kernel.threads, kernel.shared, p, cut);
  if (cut.splits == 1) return;
  const int threads = block_threads(256);
  const int64_t joins = std::min<int64_t>(blocks_for(sums, threads), 1 << 16);
  launch(context, kernel.name, gemm_join_kernel<T>, dim3(unsigned(joins)), threads, 0, p, cut);
}
template void run<float>(Context &, const Product &, const TileKernel *, int);
template void run<double>(Context &, const Product &, const TileKernel *, int);
template void run<int64_t>(Context &, const Product &, const TileKernel *, int);

void multiply(Context &context, Product p) {
  p.c.packets = in_packets(p);
  p.a.in_rows = in_rows(p, p.a, p.m);
  p.b.in_rows = in_rows(p, p.b, p.n);
  const bool same = p.a.dtype == p.b.dtype;
  if (same && is_float(p.a.dtype) && p.a.dtype != DType::f64 && is_thin(p)) return multiply_thin(context, p);
  if (multiply_with_cublas(context, p)) return;
  if (!same || p.a.dtype == DType::f64 || !is_float(p.a.dtype)) return multiply_any(context, p);
  if (has_few_rows(p) && !(p.a.in_rows && p.b.in_rows)) return multiply_few_rows(context, p);
  const Packed a(context, p, p.a, p.m), b(context, p, p.b, p.n);
  switch (p.a.dtype) {
    case DType::f16: return multiply_half(context, p);
    case DType::bf16: return multiply_bfloat(context, p);
    default: return tf32_allowed() ? multiply_tf32(context, p) : multiply_float(context, p);
  }
}

}  // namespace castor::cuda
