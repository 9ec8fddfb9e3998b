// Skinny products, of a few rows or columns, such as a vector times a matrix. The time is that of reading the other operand, which is read
// once.
#include "block.h"
#include "gemm_kernels.h"

namespace castor::cuda {
namespace {

constexpr int THREADS = 256, WARPS = THREADS / 32, MOST = 8;  // MOST: the largest number of rows or columns of a skinny operand

template <class S>
constexpr DType dtype_of_element = std::is_same_v<S, Half> ? DType::f16 : std::is_same_v<S, BFloat> ? DType::bf16 : DType::f32;

template <class S> __device__ __forceinline__ float at(const GemmOperand &f, int64_t offset) {
  return convert<float>(reinterpret_cast<const S *>(f.data)[offset]);
}

// VECTOR_WIDTH elements from `offset` on, `stride` apart, of which `left` exist.
template <class S>
__device__ __forceinline__ Vector<float> elements(const GemmOperand &f, int64_t offset, int64_t stride, int32_t left, bool vectors) {
  if (vectors && left >= VECTOR_WIDTH) return load_vector<float>(f.data, dtype_of_element<S>, offset);
  Vector<float> vector{};
  GPU_UNROLL for (int e = 0; e < VECTOR_WIDTH; e++)
    if (e < left) vector.v[e] = at<S>(f, offset + e * stride);
  return vector;
}

// How many blocks of the two kernels run on a multiprocessor at once. The compiler gives them few enough registers for that.
template <int N> constexpr int DOT_RESIDENT = N <= 4 ? 4 : 3;
template <int N> constexpr int AXPY_RESIDENT = N <= 4 ? 2 : 1;

// For an a that is contiguous along k: a warp computes one row of c.
template <class S, int N> __global__ void __launch_bounds__(THREADS, DOT_RESIDENT<N>)
    gemm_dot_kernel(const __grid_constant__ GemmProblem p, const __grid_constant__ TileSchedule schedule) {
  constexpr int AT_ONCE = 2, STEP = 32 * VECTOR_WIDTH;
  const TileCoord coord = tile_coord(p, schedule, WARPS, N);
  const Offsets offset = offsets_of(p, coord.batch);
  const int32_t i = coord.row + int(threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (i >= p.m) return;
  const int64_t row = offset.a + i * p.a.x.stride[2], a_step = p.a.k.stride[2], b_step = p.b.k.stride[2];
  const bool b_vectors = p.b.in_rows && p.b.along_k;

  float sum[N] = {};
  for (int32_t k = coord.k_begin + lane * VECTOR_WIDTH; k < coord.k_end; k += AT_ONCE * STEP) {
    Vector<float> x[AT_ONCE];
    GPU_UNROLL for (int u = 0; u < AT_ONCE; u++)
      x[u] = elements<S>(p.a, row + (k + u * STEP) * a_step, a_step, coord.k_end - k - u * STEP, p.a.in_rows);
    GPU_UNROLL for (int u = 0; u < AT_ONCE; u++)
      GPU_UNROLL for (int j = 0; j < N; j++) {
        const int64_t column = offset.b + min(j, p.n - 1) * p.b.x.stride[2];
        const Vector<float> y = elements<S>(p.b, column + (k + u * STEP) * b_step, b_step, coord.k_end - k - u * STEP, b_vectors);
        GPU_UNROLL for (int e = 0; e < VECTOR_WIDTH; e++) sum[j] += x[u].v[e] * y.v[e];
      }
  }
  GPU_UNROLL for (int j = 0; j < N; j++) {
    const float whole = warp_reduce(sum[j], Sum{});
    if (lane == 0 && j < p.n) store_partial_sum(p, schedule, coord, offset, i, j, whole);
  }
}

// For an a that is contiguous along its rows: a thread sums a vector of rows, and the warps share k.
template <class S, int N> __global__ void __launch_bounds__(THREADS, AXPY_RESIDENT<N>)
    gemm_axpy_kernel(const __grid_constant__ GemmProblem p, const __grid_constant__ TileSchedule schedule) {
  constexpr int AT_ONCE = 4;
  GPU_SHARED(float, part, [WARPS][32 * VECTOR_WIDTH]);
  const TileCoord coord = tile_coord(p, schedule, 32 * VECTOR_WIDTH, N);
  const Offsets offset = offsets_of(p, coord.batch);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int32_t first = coord.row + lane * VECTOR_WIDTH;
  const int64_t row = offset.a + first * p.a.x.stride[2];

  float sum[N][VECTOR_WIDTH] = {};
  for (int32_t k = coord.k_begin + warp; k < coord.k_end; k += AT_ONCE * WARPS) {
    Vector<float> x[AT_ONCE];
    GPU_UNROLL for (int u = 0; u < AT_ONCE; u++) {
      const int32_t at_k = k + u * WARPS;
      x[u] = elements<S>(p.a, row + at_k * p.a.k.stride[2], p.a.x.stride[2], at_k < coord.k_end ? p.m - first : 0, p.a.in_rows);
    }
    GPU_UNROLL for (int u = 0; u < AT_ONCE; u++)
      GPU_UNROLL for (int j = 0; j < N; j++) {
        const int32_t at_k = k + u * WARPS;
        const float y = at_k < coord.k_end ? at<S>(p.b, offset.b + min(j, p.n - 1) * p.b.x.stride[2] + at_k * p.b.k.stride[2]) : 0;
        GPU_UNROLL for (int e = 0; e < VECTOR_WIDTH; e++) sum[j][e] += x[u].v[e] * y;
      }
  }
  GPU_UNROLL for (int j = 0; j < N; j++) {
    __syncthreads();
    GPU_UNROLL for (int e = 0; e < VECTOR_WIDTH; e++) part[warp][e * 32 + lane] = sum[j][e];
    __syncthreads();
    float whole = 0;
    for (int w = 0; w < WARPS; w++) whole += part[w][threadIdx.x];
    const int32_t i = coord.row + int(threadIdx.x) % 32 * VECTOR_WIDTH + int(threadIdx.x) / 32;
    if (i < p.m && j < p.n) store_partial_sum(p, schedule, coord, offset, i, j, whole);
  }
}

template <class S, int N> void launch_skinny(Context &context, const GemmProblem &p) {
  const TileKernel dot{"skinny product", gemm_dot_kernel<S, N>, WARPS, N, 32 * VECTOR_WIDTH, THREADS, DOT_RESIDENT<N>, 0, 1};
  const TileKernel axpy{"skinny product", gemm_axpy_kernel<S, N>, 32 * VECTOR_WIDTH, N, WARPS, THREADS, AXPY_RESIDENT<N>, 0, 1};
  run<float>(context, p, p.a.along_k ? &dot : &axpy, 1);
}

template <class S> void launch_skinny(Context &context, const GemmProblem &p) {
  if (p.n == 1) return launch_skinny<S, 1>(context, p);
  if (p.n == 2) return launch_skinny<S, 2>(context, p);
  return p.n <= 4 ? launch_skinny<S, 4>(context, p) : launch_skinny<S, MOST>(context, p);
}

// The transposed product: c' = b' a'.
GemmProblem transposed(const GemmProblem &p) {
  GemmProblem q = p;
  std::swap(q.m, q.n);
  std::swap(q.a, q.b);
  q.c.row = p.c.column.stride[2];
  q.c.column = MixedRadixIndex(q.n, p.c.row);
  q.c.vectors = false;
  std::swap(q.c.bias_row, q.c.bias_column);
  for (int d = 0; d < p.strides.rank; d++) std::swap(q.strides.stride[0][d], q.strides.stride[1][d]);
  return q;
}

}  // namespace

bool is_skinny(const GemmProblem &p) {
  return std::min(p.m, p.n) <= MOST && p.a.x.plain(p.m) && p.a.k.plain(p.k) && p.b.x.plain(p.n) && p.b.k.plain(p.k) &&
         p.c.column.plain(p.n);
}

void multiply_skinny(Context &context, const GemmProblem &product) {
  const GemmProblem p = product.n <= product.m ? product : transposed(product);
  switch (p.a.dtype) {
    case DType::f16: return launch_skinny<Half>(context, p);
    case DType::bf16: return launch_skinny<BFloat>(context, p);
    default: return launch_skinny<float>(context, p);
  }
}

}  // namespace castor::cuda
