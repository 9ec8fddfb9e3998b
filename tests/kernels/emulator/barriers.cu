// Threads that do not wait for each other, or that wait for too many.
#include <cmath>
#include "bug.h"

namespace tests {
namespace {

constexpr unsigned WARP = ~0u;

// ---- sums of a block -----------------------------------------------------------------------------------------------

enum class SumBug { none, read_early, reuse_early, assumes_256 };

__device__ float warp_sum(float x) {
  for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(WARP, x, distance);
  return x;
}

template <SumBug BUG> __device__ float block_sum(float x) {
  GPU_SHARED(float, part, [32]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  x = warp_sum(x);
  if (lane == 0) part[warp] = x;
  if (BUG != SumBug::read_early) __syncthreads();
  x = warp_sum(lane < warps ? part[lane] : 0);
  if (BUG != SumBug::reuse_early) __syncthreads();
  return x;
}

template <SumBug BUG> __global__ void moments_kernel(const float *x, float *out, int n) {
  const int step = BUG == SumBug::assumes_256 ? 256 : int(blockDim.x);
  float sum = 0, squares = 0;
  for (int i = threadIdx.x; i < n; i += step) sum += x[i];
  sum = block_sum<BUG>(sum);
  for (int i = threadIdx.x; i < n; i += step) squares += x[i] * x[i];
  squares = block_sum<BUG>(squares);
  if (threadIdx.x == 0) out[0] = sum, out[1] = squares;
}

template <SumBug BUG> bool moments(bool with_bug) {
  constexpr int n = 1000;
  bool right = true;
  for (int threads : {32, 128, 512}) {
    std::vector<float> x(n);
    float sum = 0, squares = 0;
    for (int i = 0; i < n; i++) x[size_t(i)] = float(i % 7), sum += x[size_t(i)], squares += x[size_t(i)] * x[size_t(i)];
    const Buffer<float> in(x), out(2);
    run(with_bug ? moments_kernel<BUG> : moments_kernel<SumBug::none>, 1, threads, 0, in.data(), out.data(), n);
    right &= out.read() == std::vector<float>{sum, squares};
  }
  return right;
}

const Bug read_early("no barrier before partial sums are read", {WRONG, WRONG, "nobody wrote"}, moments<SumBug::read_early>);
const Bug reuse_early("no barrier before partial sums are reused", {WRONG, WRONG, "without order"}, moments<SumBug::reuse_early>);
const Bug assumes_256("a block of any size is taken for one of 256", {WRONG, WRONG, WRONG}, moments<SumBug::assumes_256>);

// ---- a tile ----------------------------------------------------------------------------------------------------------

enum class TileBug { none, no_barrier, row_too_far };

// Transposes 32 x 32 through a pointer. The compiler does not know its bounds, so the emulator has to check them.
template <TileBug BUG> __global__ void transpose_kernel(const float *x, float *out) {
  GPU_SHARED(float, tile, [32][33]);
  for (int i = threadIdx.x; i < 1024; i += blockDim.x) tile[i / 32][i % 32] = x[i];
  if (BUG != TileBug::no_barrier) __syncthreads();
  const float *first = &tile[0][0];
  for (int i = threadIdx.x; i < 1024; i += blockDim.x) out[i] = first[(i % 32 + (BUG == TileBug::row_too_far)) * 33 + i / 32];
}

template <TileBug BUG> bool transpose(bool with_bug) {
  std::vector<float> x(1024), expected(1024);
  for (int i = 0; i < 1024; i++) x[size_t(i)] = float(i), expected[size_t(i)] = float(i % 32 * 32 + i / 32);
  const Buffer<float> in(x), out(1024);
  run(with_bug ? transpose_kernel<BUG> : transpose_kernel<TileBug::none>, 1, 128, 0, in.data(), out.data());
  return out.read() == expected;
}

const Bug no_barrier("no barrier after a tile is filled", {WRONG, WRONG, "nobody wrote"}, transpose<TileBug::no_barrier>);
const Bug row_too_far("a tile is read one row too far", {WRONG, "use-after-poison", "nobody wrote"}, transpose<TileBug::row_too_far>);

// ---- divergence ------------------------------------------------------------------------------------------------------

__global__ void two_barriers_kernel(int *out, bool bug) {
  if (bug && threadIdx.x < 32) __syncthreads();
  else __syncthreads();
  out[threadIdx.x] = 1;
}
const Bug two_barriers("two different barriers in a branch", {"divergent barrier", "divergent barrier", "divergent barrier"}, [](bool bug) {
  const Buffer<int> out(64);
  // Without the bug all threads take the second branch.
  run(two_barriers_kernel, 1, 64, 0, out.data(), bug);
  return true;
});

__global__ void half_a_warp_kernel(int *out, bool bug) {
  int x = int(threadIdx.x);
  if (!bug || threadIdx.x % 32 < 16) x = __shfl_xor_sync(WARP, x, 1);
  __syncthreads();
  out[threadIdx.x] = x;
}
const Bug half_a_warp("half a warp in a shuffle, half at a barrier", {"deadlock", "deadlock", "deadlock"}, [](bool bug) {
  const Buffer<int> out(64);
  run(half_a_warp_kernel, 1, 64, 0, out.data(), bug);
  return true;
});

// ---- writes that no barrier orders -----------------------------------------------------------------------------------

__global__ void count_kernel(int *out, bool bug) {
  if (threadIdx.x != 0) return;
  if (bug) out[0] += 1;
  else atomicAdd(out, 1);
}
const Bug count("blocks count without an atomic", {UNSEEN, UNSEEN, "without order"}, [](bool bug) {
  const Buffer<int> out(1);
  run(count_kernel, 8, 32, 0, out.data(), bug);
  return out.read()[0] == 8;
});

__global__ void neighbours_kernel(int *out, bool bug) {
  GPU_SHARED(int, slot, [32]);
  slot[threadIdx.x] = int(threadIdx.x);
  if (!bug) __syncwarp();
  out[threadIdx.x] = slot[threadIdx.x ^ 1];
}
const Bug neighbours("no __syncwarp between lanes that exchange through shared memory", {WRONG, WRONG, "nobody wrote"}, [](bool bug) {
  const Buffer<int> out(32);
  run(neighbours_kernel, 1, 32, 0, out.data(), bug);
  const std::vector<int> got = out.read();
  for (int i = 0; i < 32; i++) {
    if (got[size_t(i)] != (i ^ 1)) return false;
  }
  return true;
});

// The last block adds what the others wrote.
__global__ void last_block_kernel(float *partial, unsigned *done, float *out, bool bug) {
  GPU_SHARED(unsigned, before, [1]);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = float(blockIdx.x + 1);
    if (!bug) __threadfence();
    before[0] = atomicAdd(done, 1u);
  }
  __syncthreads();
  if (before[0] != gridDim.x - 1 || threadIdx.x != 0) return;
  float sum = 0;
  for (unsigned i = 0; i < gridDim.x; i++) sum += partial[i];
  *out = sum;
  *done = 0;
}
const Bug last_block("the last block reads what was not fenced", {UNSEEN, UNSEEN, "without order"}, [](bool bug) {
  const Buffer<float> partial(8), out(1);
  const Buffer<unsigned> done(1);
  for (int round = 0; round < 2; round++) run(last_block_kernel, 8, 64, 0, partial.data(), done.data(), out.data(), bug);
  return out.read()[0] == 36;
});

__global__ void unwritten_kernel(float *out, bool bug) {
  GPU_SHARED(float, slot, [64]);
  if (!bug || threadIdx.x < 32) slot[threadIdx.x] = 1;
  __syncthreads();
  const float x = slot[threadIdx.x ^ 32];
  out[threadIdx.x] = x != x ? 1 : x;  // hides the garbage
}
const Bug unwritten("shared memory that nobody wrote is read", {UNSEEN, UNSEEN, "nobody wrote"}, [](bool bug) {
  const Buffer<float> out(64);
  run(unwritten_kernel, 1, 64, 0, out.data(), bug);
  return true;
});

}  // namespace
}  // namespace tests
