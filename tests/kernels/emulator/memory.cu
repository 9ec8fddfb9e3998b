// Accesses to memory that does not exist, and requests for too much of it.
#include "../../../cuda/emulator/memory.h"
#include "bug.h"

namespace tests {
namespace {

__global__ void write_kernel(float *out, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = 1;
}
const Bug past_the_end("an element past the end of a tensor", {UNSEEN, "heap-buffer-overflow", "outside of all allocations"}, [](bool bug) {
  const Buffer<float> out(100);
  run(write_kernel, 2, 64, 0, out.data(), bug ? 101 : 100);
  return true;
});

const Bug freed("memory that an allocator has taken back", {UNSEEN, "use-after-poison", "outside of all allocations"}, [](bool bug) {
  const Buffer<float> out(100);
  if (bug) castor::emulator::mark_free(out.data() + 64, 128);
  run(write_kernel, 2, 64, 0, out.data(), 100);
  castor::emulator::mark_allocated(out.data() + 64, 128);
  return true;
});

template <int BYTES> __global__ void static_kernel(int *out) {
  GPU_SHARED(int, much, [BYTES / 4]);
  much[threadIdx.x] = 1;
  out[threadIdx.x] = much[threadIdx.x];
}
const Bug much_static("52 KB of shared memory in arrays", {"too much shared memory", "too much shared memory", "too much shared memory"},
                      [](bool bug) {
                        const Buffer<int> out(32);
                        run(bug ? static_kernel<52 * 1024> : static_kernel<48 * 1024>, 1, 32, 0, out.data());
                        return true;
                      });

__global__ void dynamic_kernel(int *out) {
  GPU_DYN_SHARED(int, much);
  much[threadIdx.x] = 1;
  out[threadIdx.x] = much[threadIdx.x];
}
const Bug much_dynamic("dynamic shared memory that the kernel did not ask for",
                       {"more shared memory", "more shared memory", "more shared memory"}, [](bool bug) {
                         const Buffer<int> out(32);
                         const auto kernel = reinterpret_cast<const void *>(&dynamic_kernel);
                         if (!bug) cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024);
                         run(dynamic_kernel, 1, 32, 64 * 1024, out.data());
                         return true;
                       });

const Bug much_threads("a block of 1056 threads", {"1 to 1024 threads", "1 to 1024 threads", "1 to 1024 threads"}, [](bool bug) {
  const Buffer<float> out(2048);
  run(write_kernel, 1, bug ? 1056 : 1024, 0, out.data(), 2048);
  return true;
});

__global__ void vector_kernel(const float *x, float *out) {
  const float4 v = *reinterpret_cast<const float4 *>(x + 4 * threadIdx.x);
  out[threadIdx.x] = v.x + v.y + v.z + v.w;
}
const Bug leaked("a device buffer that nobody frees", {"not freed", "not freed", "not freed"}, [](bool bug) {
  int *data = nullptr;
  cudaMalloc(reinterpret_cast<void **>(&data), 128);
  if (!bug) cudaFree(data);
  return true;
});

const Bug misaligned("a load of 16 bytes from a misaligned address", {UNSEEN, "misaligned address", UNSEEN}, [](bool bug) {
  const Buffer<float> x(132, 1), out(32);
  run(vector_kernel, 1, 32, 0, x.data() + bug, out.data());
  return out.read() == std::vector<float>(32, 4);
});

__global__ void local_kernel(int *out, int index) {
  int local[4] = {1, 2, 3, 4};
  out[threadIdx.x] = local[(index + int(threadIdx.x)) % 8];
}
const Bug local_array("an array of a thread's own read past its end", {UNSEEN, "out of bounds", UNSEEN}, [](bool bug) {
  const Buffer<int> out(4);
  run(local_kernel, 1, bug ? 8 : 4, 0, out.data(), 0);
  return true;
});

__global__ void deep_kernel(int *out, int depth) {
  volatile char frame[1024];
  frame[depth % 1024] = 1;
  if (depth > 0) deep_kernel(out, depth - 1);
  *out += frame[depth % 1024];
}
const Bug deep("a stack that is too deep", {"Segmentation fault", "stack-overflow", "Segmentation fault"}, [](bool bug) {
  const Buffer<int> out(1);
  run(deep_kernel, 1, 1, 0, out.data(), bug ? 1000 : 10);
  return true;
});

}  // namespace
}  // namespace tests
