// Convolutions with few channels in a group, such as depthwise ones: a tile of a product would be almost empty. A thread computes a
// column for all rows, or, where the sum is long and the columns are few, all of them for a part of k.
#include "block.h"
#include "gemm_kernels.h"

namespace castor::cuda {
namespace {

constexpr int THREADS = 256, MOST_ROWS = 8, MOST_COLUMNS = 128;

template <class S> __device__ __forceinline__ float element(const Factor &f, const Spot &x, const Spot &k) {
  return f.inside(x, k) ? convert<float>(reinterpret_cast<const S *>(f.data)[x.offset + k.offset]) : 0;
}

// A column a thread. Where k leads, and a's few rows, are the same for all threads: they wait in shared memory.
template <class S, int M>
__global__ void __launch_bounds__(THREADS) gemm_columns_kernel(const __grid_constant__ Product p, const __grid_constant__ Cut cut) {
  constexpr int DEPTH = 64;
  GPU_SHARED(Spot, spots, [DEPTH]);
  GPU_SHARED(float, rows, [DEPTH][M]);
  const Place place = place_of(p, cut, M, THREADS);
  const Offsets offset = offsets_of(p, place.batch);
  const int32_t j = place.column + int(threadIdx.x);
  Spot x = p.b.x.spot(uint32_t(j));
  x.offset += offset.b;

  float sum[M] = {};
  for (int32_t k = place.k_begin; k < place.k_end; k += DEPTH) {
    __syncthreads();
    for (int e = threadIdx.x; e < DEPTH * M; e += THREADS) {
      const int32_t own = k + e / M, i = e % M;
      if (own >= place.k_end) break;
      if (i == 0) spots[e / M] = p.b.k.spot(uint32_t(own));
      Spot row = p.a.x.spot(uint32_t(i));
      row.offset += offset.a;
      rows[e / M][i] = i < p.m ? element<S>(p.a, row, p.a.k.spot(uint32_t(own))) : 0;
    }
    __syncthreads();
    if (j >= p.n) continue;
    const int depth = min(DEPTH, place.k_end - k);
    for (int e = 0; e < depth; e++) {
      const float y = element<S>(p.b, x, spots[e]);
      GPU_UNROLL for (int i = 0; i < M; i++) sum[i] += rows[e][i] * y;
    }
  }
  if (j >= p.n) return;
  GPU_UNROLL for (int i = 0; i < M; i++)
    if (i < p.m) keep_sum(p, cut, place, offset, i, j, sum[i]);
}

// N columns a block, whose threads share k.
template <class S, int M>
__global__ void __launch_bounds__(THREADS) gemm_parts_kernel(const __grid_constant__ Product p, const __grid_constant__ Cut cut) {
  constexpr int N = 8;
  const Place place = place_of(p, cut, M, N);
  const Offsets offset = offsets_of(p, place.batch);
  Spot column[N];
  GPU_UNROLL for (int j = 0; j < N; j++) {
    column[j] = p.b.x.spot(uint32_t(min(place.column + j, p.n - 1)));
    column[j].offset += offset.b;
  }

  float sum[M][N] = {};
  for (int32_t k = place.k_begin + int(threadIdx.x); k < place.k_end; k += THREADS) {
    const Spot at_a = p.a.k.spot(uint32_t(k)), at_b = p.b.k.spot(uint32_t(k));
    float x[M];
    GPU_UNROLL for (int i = 0; i < M; i++) {
      Spot row = p.a.x.spot(uint32_t(min(i, p.m - 1)));
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
      if (threadIdx.x == 0 && i < p.m && place.column + j < p.n) keep_sum(p, cut, place, offset, i, place.column + j, whole);
    }
}

template <class S, int M> void launch_few(Context &context, const Product &p) {
  const TileKernel columns{"product of few rows", gemm_columns_kernel<S, M>, M, THREADS, 64, THREADS, 4, 0, 1};
  const TileKernel parts{"product of few rows", gemm_parts_kernel<S, M>, M, 8, THREADS, THREADS, 4, 0, 1};
  run<float>(context, p, p.n <= MOST_COLUMNS && p.k >= 4 * THREADS ? &parts : &columns, 1);
}

template <class S> void launch_few(Context &context, const Product &p) {
  if (p.m == 1) return launch_few<S, 1>(context, p);
  return p.m <= 4 ? launch_few<S, 4>(context, p) : launch_few<S, MOST_ROWS>(context, p);
}

}  // namespace

bool has_few_rows(const Product &p) { return p.m <= MOST_ROWS; }

void multiply_few_rows(Context &context, const Product &p) {
  switch (p.a.dtype) {
    case DType::f16: return launch_few<Half>(context, p);
    case DType::bf16: return launch_few<BFloat>(context, p);
    default: return launch_few<float>(context, p);
  }
}

}  // namespace castor::cuda
