// Launching kernels.
#pragma once
#include "context.h"

namespace castor::cuda {

// The number of threads of a block: the preferred one, unless CASTOR_CUDA_THREADS gives another. Tests use that to show that no kernel
// depends on it. It is a multiple of 32.
int block_threads(int preferred);

constexpr int64_t blocks_for(int64_t n, int64_t each) { return (n + each - 1) / each; }

// The bytes of shared memory that a block may use without a request.
constexpr int64_t SHARED_UNASKED = 48 * 1024;

// Launches a kernel. `name`, a string literal, appears in error messages. `shared` is the dynamic shared memory in bytes.
template <class... P, class... A>
void launch(Context &context, const char *name, void (*kernel)(P...), dim3 grid, int threads, int64_t shared, A &&...arguments) {
  if (shared > SHARED_UNASKED) context.allow_shared(reinterpret_cast<const void *>(kernel), shared, name);
  context.launched(name);
  check(gpu::launch(name, kernel, grid, dim3(unsigned(threads)), size_t(shared), context.stream, std::forward<A>(arguments)...), name);
}

}  // namespace castor::cuda
