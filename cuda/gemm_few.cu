// Convolutions with few channels in a group, such as depthwise ones: most of a tile would be empty. A thread computes one column for all
// rows. Where k is long and there are few columns, the threads of a block share k instead, and each computes all columns for its part.
#include "block.h"
#include "gemm_kernels.h"

namespace castor::cuda {
namespace {

constexpr int THREADS = 256, MOST_ROWS = 8, MOST_COLUMNS = 128;
// How many blocks run on a multiprocessor at once. The compiler gives them few enough registers for that.
constexpr int COLUMNS_RESIDENT = 4;
template <int M> constexpr int PARTS_RESIDENT = M <= 4 ? 2 : 1;

template <class S> __device__ __forceinline__ float element(const GemmOperand &f, const Position &x, const Position &k) {
  return f.inside(x, k) ? convert<float>(reinterpret_cast<const S *>(f.data)[x.offset + k.offset]) : 0;
}

// A thread computes one column. The positions of k and the few rows of a are the same for all threads, and are kept in shared memory.
template <class S, int M> __global__ void __launch_bounds__(THREADS, COLUMNS_RESIDENT)
    gemm_columns_kernel(const __grid_constant__ GemmProblem p, const __grid_constant__ TileSchedule schedule) {
  constexpr int DEPTH = 64;
  GPU_SHARED(Position, spots, [DEPTH]);
  GPU_SHARED(float, rows, [DEPTH][M]);
  const TileCoord coord = tile_coord(p, schedule, M, THREADS);
  const Offsets offset = offsets_of(p, coord.batch);
  const int32_t j = coord.column + int(threadIdx.x);
  Position x = p.b.x.position(uint32_t(j));
  x.offset += offset.b;

  float sum[M] = {};
  for (int32_t k = coord.k_begin; k < coord.k_end; k += DEPTH) {
    __syncthreads();
    for (int e = threadIdx.x; e < DEPTH * M; e += THREADS) {
      const int32_t own = k + e / M, i = e % M;
      if (own >= coord.k_end) break;
      if (i == 0) spots[e / M] = p.b.k.position(uint32_t(own));
      Position row = p.a.x.position(uint32_t(i));
      row.offset += offset.a;
      rows[e / M][i] = i < p.m ? element<S>(p.a, row, p.a.k.position(uint32_t(own))) : 0;
    }
    __syncthreads();
    if (j >= p.n) continue;
    const int depth = min(DEPTH, coord.k_end - k);
    for (int e = 0; e < depth; e++) {
      const float y = element<S>(p.b, x, spots[e]);
      GPU_UNROLL for (int i = 0; i < M; i++) sum[i] += rows[e][i] * y;
    }
  }
  if (j >= p.n) return;
  GPU_UNROLL for (int i = 0; i < M; i++)
    if (i < p.m) store_partial_sum(p, schedule, coord, offset, i, j, sum[i]);
}

// A block computes N columns, and its threads share k.
template <class S, int M> __global__ void __launch_bounds__(THREADS, PARTS_RESIDENT<M>)
    gemm_parts_kernel(const __grid_constant__ GemmProblem p, const __grid_constant__ TileSchedule schedule) {
  constexpr int N = 8;
  const TileCoord coord = tile_coord(p, schedule, M, N);
  const Offsets offset = offsets_of(p, coord.batch);
  Position column[N];
  GPU_UNROLL for (int j = 0; j < N; j++) {
    column[j] = p.b.x.position(uint32_t(min(coord.column + j, p.n - 1)));
    column[j].offset += offset.b;
  }

  float sum[M][N] = {};
  for (int32_t k = coord.k_begin + int(threadIdx.x); k < coord.k_end; k += THREADS) {
    const Position at_a = p.a.k.position(uint32_t(k)), at_b = p.b.k.position(uint32_t(k));
    float x[M];
    GPU_UNROLL for (int i = 0; i < M; i++) {
      Position row = p.a.x.position(uint32_t(min(i, p.m - 1)));
      row.offset += offset.a;
      x[i] = element<S>(p.a, row, at_a);
    }
    GPU_UNROLL for (int j = 0; j < N; j++) {
      const float y = element<S>(p.b, column[j], at_b);
      GPU_UNROLL for (int i = 0; i < M; i++) sum[i][j] += x[i] * y;
    }
  }
  GPU_UNROLL for (int i = 0; i < M; i++)
    GPU_UNROLL for (int j = 0; j < N; j++) {
      const float whole = block_sum(sum[i][j]);
      if (threadIdx.x == 0 && i < p.m && coord.column + j < p.n) store_partial_sum(p, schedule, coord, offset, i, coord.column + j, whole);
    }
}

template <class S, int M> void launch_few(Context &context, const GemmProblem &p) {
  const TileKernel columns{"product of few rows", gemm_columns_kernel<S, M>, M, THREADS, 64, THREADS, COLUMNS_RESIDENT, 0, 1};
  const TileKernel parts{"product of few rows", gemm_parts_kernel<S, M>, M, 8, THREADS, THREADS, PARTS_RESIDENT<M>, 0, 1};
  run<float>(context, p, p.n <= MOST_COLUMNS && p.k >= 4 * THREADS ? &parts : &columns, 1);
}

template <class S> void launch_few(Context &context, const GemmProblem &p) {
  if (p.m == 1) return launch_few<S, 1>(context, p);
  return p.m <= 4 ? launch_few<S, 4>(context, p) : launch_few<S, MOST_ROWS>(context, p);
}

}  // namespace

bool has_few_rows(const GemmProblem &p) { return p.m <= MOST_ROWS; }

void multiply_few_rows(Context &context, const GemmProblem &p) {
  switch (p.a.dtype) {
    case DType::f16: return launch_few<Half>(context, p);
    case DType::bf16: return launch_few<BFloat>(context, p);
    default: return launch_few<float>(context, p);
  }
}

}  // namespace castor::cuda
