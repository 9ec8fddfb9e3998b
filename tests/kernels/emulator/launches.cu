// Launches that no GPU would start, and instructions of a whole warp that only a part of it reaches at a time.
#include "../../../cuda/fault.h"
#include "bug.h"

namespace tests {
namespace {

constexpr int MOST = 64;
const char *const BOUNDS = "its launch bounds are 64 threads";

template <class T> __global__ void __launch_bounds__(MOST, 2) bounded_kernel(T *out) { out[threadIdx.x] = T(threadIdx.x); }
const Bug bounds("more threads than the launch bounds", {BOUNDS, BOUNDS, BOUNDS}, [](bool bug) {
  const Buffer<float> out(2 * MOST);
  run(bounded_kernel<float>, 1, bug ? MOST + 32 : MOST, 0, out.data());
  return bug || out.read()[MOST - 1] == MOST - 1;
});

template <int THREADS> __global__ void __launch_bounds__(THREADS / 2) by_parameter_kernel(int *out) { out[threadIdx.x] = 1; }
const Bug dependent_bounds("more threads than launch bounds that depend on a template", {BOUNDS, BOUNDS, BOUNDS}, [](bool bug) {
  const Buffer<int> out(4 * MOST);
  run(by_parameter_kernel<4 * MOST>, 1, 2 * MOST, 0, out.data());
  run(by_parameter_kernel<2 * MOST>, 1, bug ? 2 * MOST : MOST, 0, out.data());
  return true;
});

__global__ void unbounded_kernel(int *out) { out[threadIdx.x] = 1; }
const Works unbounded("a kernel without launch bounds has up to 1024 threads", [] {
  const Buffer<int> out(1024);
  run(unbounded_kernel, 1, 1024, 0, out.data());
  return out.read()[1023] == 1;
});

// 1024 bytes in an array, beside the dynamic ones.
__global__ void arrays_kernel(float *out) {
  GPU_SHARED(float, array, [256]);
  GPU_DYN_SHARED(float, more);
  array[threadIdx.x] = 1;
  more[threadIdx.x] = 2;
  out[threadIdx.x] = array[threadIdx.x] + more[threadIdx.x];
}
const Bug sum("arrays and dynamic shared memory that are too much together, without a request",
              {"of 49152", "of 49152", "of 49152"}, [](bool bug) {
                const Buffer<float> out(32);
                run(arrays_kernel, 1, 32, size_t(48 * 1024 - (bug ? 1020 : 1024)), out.data());
                return bug || out.read()[31] == 3;
              });
// The bytes that a kernel was allowed count in full, even if the launch uses fewer.
const Bug request("arrays and a request that are too much together", {"that the kernel asked for", "that the kernel asked for",
                  "that the kernel asked for"}, [](bool bug) {
                    const Buffer<float> out(32);
                    cudaFuncSetAttribute(reinterpret_cast<const void *>(arrays_kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         227 * 1024 - (bug ? 512 : 1024));
                    run(arrays_kernel, 1, 32, 64 * 1024, out.data());
                    return bug || out.read()[31] == 3;
                  });

__global__ void nothing_kernel() {}
const char *const TOO_MANY = "too many blocks along an axis";
const Bug many_blocks("a grid of more blocks than an axis has", {TOO_MANY, TOO_MANY, TOO_MANY}, [](bool bug) {
  gpu::launch("test", nothing_kernel, dim3(1, bug ? 65536 : 3), dim3(32), 0, nullptr);
  gpu::launch("test", nothing_kernel, dim3(1, 1, 2), dim3(32), 0, nullptr);
  return true;
});
const Bug no_blocks("a grid without blocks", {"at least one block", "at least one block", "at least one block"}, [](bool bug) {
  gpu::launch("test", nothing_kernel, dim3(bug ? 0 : 1), dim3(32), 0, nullptr);
  return true;
});

// ---- instructions of a whole warp ------------------------------------------------------------------------------------------

__device__ __forceinline__ void multiply(float (&d)[4], uint32_t x) {
  const uint32_t a[4] = {x, x, x, x}, b[2] = {x, x};
  gpu::mma_m16n8k16(d, a, b, __half{});
}
const char *const DIVERGENT = "divergent warp: mma";

__global__ void two_products_kernel(float *out, bool bug) {
  float d[4] = {};
  if (bug && threadIdx.x < 16) multiply(d, 1);
  else multiply(d, 2), d[0] += 1;
  out[threadIdx.x] = d[0];
}
const Bug two_products("the two sides of a branch multiply by the same function", {DIVERGENT, DIVERGENT, DIVERGENT}, [](bool bug) {
  const Buffer<float> out(32);
  run(two_products_kernel, 1, 32, 0, out.data(), bug);
  return true;
});

// Lanes that meet again before the instruction are one warp.
__global__ void joined_kernel(float *out) {
  float d[4] = {};
  const uint32_t x = threadIdx.x < 16 ? 0u : 0x3c003c00u;
  if (threadIdx.x % 2) out[threadIdx.x] = 1;
  for (unsigned i = 0; i < threadIdx.x; i++) out[threadIdx.x] += 1;
  multiply(d, x);
  out[threadIdx.x] = d[0];
}
const Works joined("mma after lanes have gone different ways and met again", [] {
  const Buffer<float> out(32);
  run(joined_kernel, 1, 32, 0, out.data());
  return true;
});

__global__ void half_load_kernel(uint32_t *out, bool bug) {
  GPU_SHARED(uint16_t, rows, [32 * 8]);
  for (int i = 0; i < 8; i++) rows[threadIdx.x * 8 + i] = uint16_t(i);
  __syncthreads();
  uint32_t r[4] = {};
  if (!bug || threadIdx.x < 16) gpu::ldmatrix_x4(r, rows + threadIdx.x * 8);
  __syncthreads();
  out[threadIdx.x] = r[0];
}
const char *const ALONE = "ldmatrix";
const Bug half_load("ldmatrix in a branch that half of the warp takes", {ALONE, ALONE, ALONE}, [](bool bug) {
  const Buffer<uint32_t> out(32);
  run(half_load_kernel, 1, 32, 0, out.data(), bug);
  return true;
});

__global__ void half_shuffle_kernel(int *out, bool bug) {
  int x = int(threadIdx.x);
  if (!bug || x < 16) x = __shfl_xor_sync(~0u, x, 1);
  __syncthreads();
  out[threadIdx.x] = x;
}
const Bug half_shuffle("a shuffle of the whole warp in a branch that half of it takes", {"__shfl_xor_sync", "__shfl_xor_sync",
                       "__shfl_xor_sync"}, [](bool bug) {
                         const Buffer<int> out(32);
                         run(half_shuffle_kernel, 1, 32, 0, out.data(), bug);
                         return true;
                       });

// ---- reports of wrong data -------------------------------------------------------------------------------------------------

namespace cuda = castor::cuda;

__global__ void many_faults_kernel(cuda::Fault *fault) {
  cuda::checked_index(int64_t(100 + threadIdx.x), 10, cuda::Site::gather, fault);
}
const Works first_fault("of many threads with a wrong index, one writes to the host", [] {
  cuda::FaultReport *report = nullptr;
  cudaHostAlloc(reinterpret_cast<void **>(&report), sizeof *report, cudaHostAllocMapped);
  *report = {};
  bool right;
  {
    const Buffer<cuda::Fault> fault(1, cuda::Fault{0, report});
    run(many_faults_kernel, 3, 128, 0, fault.data());
    const cuda::FaultReport first = *report;
    right = first.site == int32_t(cuda::Site::gather) && first.value >= 100 && first.size == 10 && fault.read()[0].taken == 1;
    // While the first report has not been taken, no thread writes another one.
    *report = {};
    run(many_faults_kernel, 1, 32, 0, fault.data());
    right = right && report->site == int32_t(cuda::Site::none);
  }
  cudaFreeHost(report);
  return right;
});

}  // namespace
}  // namespace tests
