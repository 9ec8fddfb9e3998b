// Reductions over the lanes of a warp, the threads of a block, and teams: equal parts of a block. Blocks have a multiple of 32 threads.
#pragma once
#include "gpu.h"

namespace castor::cuda {

constexpr unsigned WARP = 0xffffffffu;

// Two values reduced together.
template <class T> struct Pair { T a, b; };

template <class T> __device__ __forceinline__ T from_lane_xor(T x, int distance) { return __shfl_xor_sync(WARP, x, distance); }
template <class T> __device__ __forceinline__ Pair<T> from_lane_xor(Pair<T> x, int distance) {
  return {from_lane_xor(x.a, distance), from_lane_xor(x.b, distance)};
}

// Over `width` neighbouring lanes, a power of two up to 32; each of them gets the result.
template <class T, class Join> __device__ __forceinline__ T lanes_reduce(T x, int width, Join join) {
  GPU_UNROLL for (int distance = 16; distance > 0; distance /= 2)
    if (distance < width) x = join(x, from_lane_xor(x, distance));
  return x;
}
template <class T, class Join> __device__ __forceinline__ T warp_reduce(T x, Join join) { return lanes_reduce(x, 32, join); }

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
  template <class T> __device__ __forceinline__ Pair<T> operator()(Pair<T> x, Pair<T> y) const { return {x.a + y.a, x.b + y.b}; }
};
// NaN wins.
struct Largest {
  template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return (a > b) | (a != a) ? a : b; }
};

template <class T> __device__ __forceinline__ T block_sum(T x) { return block_reduce(x, T(0), Sum{}); }
template <class T> __device__ __forceinline__ T block_max(T x, T least) { return block_reduce(x, least, Largest{}); }

// Threads of a block of teams that compute in T, so that one may have 128 registers, or 255 for doubles.
template <class T> constexpr int MOST_THREADS = sizeof(T) == 8 ? 256 : 512;
template <class T> constexpr int LEAST_BLOCKS = sizeof(T) == 8 ? 1 : 0;

// `width` neighbouring threads that work together: a power of two that divides the block's size. All teams of a block reduce at the
// same time.
struct Team {
  int width;
  int member;  // this thread, within its team
  int number;  // this team, within the block
  int count;   // of teams in the block

  __device__ explicit Team(int width) : width(width), member(threadIdx.x % width), number(threadIdx.x / width), count(blockDim.x / width) {}

  // Every member gets the result.
  template <class T, class Join> __device__ __forceinline__ T reduce(T x, Join join) const {
    x = lanes_reduce(x, width, join);
    if (width <= 32) return x;
    GPU_SHARED(T, part, [32]);
    const int lane = threadIdx.x % 32, warps = width / 32;
    __syncthreads();
    if (lane == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    return lanes_reduce(part[number * warps + lane % warps], warps, join);
  }
};

// The same lane of `width` neighbouring warps, so that 32 teams lie side by side.
struct SideTeam {
  int width, member, number, count;

  __device__ explicit SideTeam(int width)
      : width(width), member(threadIdx.x / 32 % width), number(threadIdx.x / 32 / width * 32 + threadIdx.x % 32), count(blockDim.x / width) {}

  template <class T, class Join> __device__ __forceinline__ T reduce(T x, Join join) const {
    if (width == 1) return x;
    GPU_SHARED(T, part, [512]);
    __syncthreads();
    part[threadIdx.x] = x;
    __syncthreads();
    const int first = threadIdx.x - member * 32;
    x = part[first];
    for (int i = 1; i < width; i++) x = join(x, part[first + i * 32]);
    return x;
  }
};

}  // namespace castor::cuda
