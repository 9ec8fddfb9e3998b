// Launching kernels.
#pragma once
#include "context.h"

namespace castor::cuda {

// Threads of a block: what the kernel prefers, unless CASTOR_CUDA_THREADS says otherwise, which tests use to show that no kernel
// depends on it. A multiple of 32.
int block_threads(int preferred);

constexpr int64_t blocks_for(int64_t n, int64_t each) { return (n + each - 1) / each; }

// What a block may ask for without saying so first, in bytes.
constexpr int64_t SHARED_UNASKED = 48 * 1024;

// `name`, a literal, is what a failure is called by. `shared` is dynamic shared memory in bytes.
template <class... P, class... A>
void launch(Context &context, const char *name, void (*kernel)(P...), dim3 grid, int threads, int64_t shared, A &&...arguments) {
  if (shared > SHARED_UNASKED) context.allow_shared(reinterpret_cast<const void *>(kernel), shared, name);
  context.launched(name);
  check(gpu::launch(name, kernel, grid, dim3(unsigned(threads)), size_t(shared), context.stream, std::forward<A>(arguments)...), name);
}

}  // namespace castor::cuda
