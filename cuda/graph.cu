// Small kernels for graphs and for the check that the library has code for a GPU.
#include <string>
#include "device.h"
#include "launch.h"

namespace castor::cuda {

__global__ void probe_kernel() {}

cudaError_t probe(cudaStream_t stream) { return gpu::launch("probe", probe_kernel, dim3(1), dim3(32), 0, stream); }

__global__ void random_base_kernel(uint64_t *base, uint64_t seed, uint64_t offset) {
  base[0] = seed;
  base[1] = offset;
}

void set_random_base(Context &context, uint64_t *base, uint64_t seed, uint64_t offset) {
  launch(context, "graph", random_base_kernel, 1, 1, 0, base, seed, offset);
}

#if defined(__CUDA_ARCH_LIST__)
#define CASTOR_TEXT_OF(...) #__VA_ARGS__
#define CASTOR_TEXT(...) CASTOR_TEXT_OF(__VA_ARGS__)
constexpr const char *list = CASTOR_TEXT(__CUDA_ARCH_LIST__);  // "800,900"
#else
constexpr const char *list = "900";
#endif

std::string architectures() {
  std::string text;
  for (int number = 0; const char c : std::string(list) + ",") {
    if (c >= '0' && c <= '9') number = number * 10 + c - '0';
    if (c != ',') continue;
    text += (text.empty() ? "sm_" : ", sm_") + std::to_string(number / 10);
    number = 0;
  }
  return text;
}

}  // namespace castor::cuda
