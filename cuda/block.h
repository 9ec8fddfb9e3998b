// Reductions over the lanes of a warp, the threads of a block, or a team, which is an equal part of a block. The size of a block is a
// multiple of 32.
#pragma once
#include "gpu.h"

namespace castor::cuda {

constexpr unsigned WARP = 0xffffffffu;

// Two values that are reduced together.
template <class T> struct Pair { T a, b; };

template <class T> __device__ __forceinline__ T from_lane_xor(T x, int distance) { return __shfl_xor_sync(WARP, x, distance); }
template <class T> __device__ __forceinline__ Pair<T> from_lane_xor(Pair<T> x, int distance) {
  return {from_lane_xor(x.a, distance), from_lane_xor(x.b, distance)};
}

// Reduces over `width` neighbouring lanes, a power of two up to 32. Each of them gets the result.
template <class T, class Combine> __device__ __forceinline__ T lanes_reduce(T x, int width, Combine combine) {
  GPU_UNROLL for (int distance = 16; distance > 0; distance /= 2)
    if (distance < width) x = combine(x, from_lane_xor(x, distance));
  return x;
}
template <class T, class Combine> __device__ __forceinline__ T warp_reduce(T x, Combine combine) { return lanes_reduce(x, 32, combine); }

// Reduces over the block. Every thread gets the result. The order of the sum depends only on the size of the block. The function begins
// with a barrier, so that calls may follow each other.
template <class T, class Combine> __device__ __forceinline__ T block_reduce(T x, T neutral, Combine combine) {
  GPU_SHARED(T, part, [32]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  x = warp_reduce(x, combine);
  __syncthreads();
  if (lane == 0) part[warp] = x;
  __syncthreads();
  return warp_reduce(lane < warps ? part[lane] : neutral, combine);
}

struct Sum {
  template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return a + b; }
  template <class T> __device__ __forceinline__ Pair<T> operator()(Pair<T> x, Pair<T> y) const { return {x.a + y.a, x.b + y.b}; }
};
// The larger value. A NaN counts as the largest.
struct Largest {
  template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return (a > b) | (a != a) ? a : b; }
};

template <class T> __device__ __forceinline__ T block_sum(T x) { return block_reduce(x, T(0), Sum{}); }
template <class T> __device__ __forceinline__ T block_max(T x, T least) { return block_reduce(x, least, Largest{}); }

// The largest block of teams that compute in T, such that a thread may use 128 registers, or 255 for doubles.
template <class T> constexpr int MOST_THREADS = sizeof(T) == 8 ? 256 : 512;
template <class T> constexpr int LEAST_BLOCKS = sizeof(T) == 8 ? 1 : 0;

// A team is `width` neighbouring threads that work together. width is a power of two that divides the size of the block. All teams of a
// block reduce at the same time.
struct Team {
  int width;
  int member;  // the number of this thread within its team
  int number;  // the number of this team within the block
  int count;   // the number of teams in the block

  __device__ explicit Team(int width) : width(width), member(threadIdx.x % width), number(threadIdx.x / width), count(blockDim.x / width) {}

  // Every member gets the result.
  template <class T, class Combine> __device__ __forceinline__ T reduce(T x, Combine combine) const {
    x = lanes_reduce(x, width, combine);
    if (width <= 32) return x;
    GPU_SHARED(T, part, [32]);
    const int lane = threadIdx.x % 32, warps = width / 32;
    __syncthreads();
    if (lane == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    return lanes_reduce(part[number * warps + lane % warps], warps, combine);
  }
};

// A team of the threads at the same lane of `width` neighbouring warps, so that 32 teams are side by side.
struct SideTeam {
  int width, member, number, count;

  __device__ explicit SideTeam(int width)
      : width(width),
        member(threadIdx.x / 32 % width),
        number(threadIdx.x / 32 / width * 32 + threadIdx.x % 32),
        count(blockDim.x / width) {}

  template <class T, class Combine> __device__ __forceinline__ T reduce(T x, Combine combine) const {
    if (width == 1) return x;
    GPU_SHARED(T, part, [512]);
    __syncthreads();
    part[threadIdx.x] = x;
    __syncthreads();
    const int first = threadIdx.x - member * 32;
    x = part[first];
    for (int i = 1; i < width; i++) x = combine(x, part[first + i * 32]);
    return x;
  }
};

}  // namespace castor::cuda
