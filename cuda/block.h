// Reductions over the lanes of a warp and the threads of a block. Blocks have a multiple of 32 threads.
#pragma once
#include "gpu.h"

namespace castor::cuda {

constexpr unsigned WARP = 0xffffffffu;

template <class T, class Join> __device__ __forceinline__ T warp_reduce(T x, Join join) {
  GPU_UNROLL for (int distance = 16; distance > 0; distance /= 2) x = join(x, __shfl_xor_sync(WARP, x, distance));
  return x;
}

// Every thread gets the result. The order of the sum depends on the block's size only. Begins with a barrier of its own, so that
// calls may follow each other.
template <class T, class Join> __device__ __forceinline__ T block_reduce(T x, T neutral, Join join) {
  GPU_SHARED(T, part, [32]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  x = warp_reduce(x, join);
  __syncthreads();
  if (lane == 0) part[warp] = x;
  __syncthreads();
  return warp_reduce(lane < warps ? part[lane] : neutral, join);
}

struct Sum {
  template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return a + b; }
};
// NaN wins.
struct Largest {
  template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return (a > b) | (a != a) ? a : b; }
};

template <class T> __device__ __forceinline__ T block_sum(T x) { return block_reduce(x, T(0), Sum{}); }
template <class T> __device__ __forceinline__ T block_max(T x, T least) { return block_reduce(x, least, Largest{}); }

}  // namespace castor::cuda
