// Warp operations with lanes that have ended.
#include "bug.h"

namespace tests {
namespace {

constexpr unsigned WARP = ~0u;

__global__ void own_mask_kernel(int *out, bool bug) {
  out[threadIdx.x] = __shfl_sync(bug ? 0xffffu : WARP, int(threadIdx.x), 0);
}
const Bug own_mask("a lane that is not in its own mask", {"not in its own mask", "not in its own mask", "not in its own mask"},
                   [](bool bug) {
                     const Buffer<int> out(32, 1);
                     run(own_mask_kernel, 1, 32, 0, out.data(), bug);
                     return bug || out.read() == std::vector<int>(32, 0);
                   });

__global__ void gone_kernel(float *out, bool bug) {
  if (bug && threadIdx.x == 31) return;
  out[threadIdx.x] = __shfl_sync(WARP, float(threadIdx.x), 31);
}
const Bug gone("a shuffle from a lane that has ended", {WRONG, WRONG, WRONG}, [](bool bug) {
  const Buffer<float> out(32, 31);
  run(gone_kernel, 1, 32, 0, out.data(), bug);
  return out.read() == std::vector<float>(32, 31);
});

__global__ void two_shuffles_kernel(int *out, bool bug) {
  int x = int(threadIdx.x);
  if (bug && threadIdx.x < 16) x = __shfl_xor_sync(WARP, x, 1);
  else x = __shfl_xor_sync(WARP, x, 1);
  out[threadIdx.x] = x;
}
const Bug two_shuffles("the two sides of a branch shuffle at once", {"divergent warp", "divergent warp", "divergent warp"}, [](bool bug) {
  const Buffer<int> out(32);
  run(two_shuffles_kernel, 1, 32, 0, out.data(), bug);
  return true;
});

__global__ void half_product_kernel(float *out, bool bug) {
  if (bug && threadIdx.x >= 16) return;
  float d[4] = {};
  const uint32_t a[4] = {}, b[2] = {};
  gpu::mma_m16n8k16(d, a, b, __half{});
  out[threadIdx.x] = d[0];
}
const Bug half_product("mma after half of the warp has ended",
                       {"some lanes of the warp have ended", "some lanes of the warp have ended", "some lanes of the warp have ended"},
                       [](bool bug) {
                         const Buffer<float> out(32);
                         run(half_product_kernel, 1, 32, 0, out.data(), bug);
                         return true;
                       });

}  // namespace
}  // namespace tests
