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

// The blocks of a launch along each axis, in full until they have been checked: a number that is cut off to 32 bits would start too few.
struct Grid {
  int64_t x, y, z;

  Grid(int64_t x, int64_t y = 1, int64_t z = 1) : x(x), y(y), z(z) {}
  dim3 checked(const char *name) const {
    constexpr int64_t MOST_BLOCKS = 0x7fffffff, MOST_ACROSS = 65535;  // along x; along y and z
    if (x > MOST_BLOCKS || y > MOST_ACROSS || z > MOST_ACROSS)
      fail(CASTOR_SHAPE,
           "%s needs %lld x %lld x %lld blocks of threads, and a GPU starts at most %lld x %lld x %lld. Split the tensor along an axis "
           "with narrow(), compute the parts one after the other, and join the results",
           name, (long long)x, (long long)y, (long long)z, (long long)MOST_BLOCKS, (long long)MOST_ACROSS, (long long)MOST_ACROSS);
    if (x < 1 || y < 1 || z < 1) fail(CASTOR_INTERNAL, "%s: a grid without blocks", name);
    return dim3(unsigned(x), unsigned(y), unsigned(z));
  }
};

// Launches a kernel. `name`, a string literal, appears in error messages. `shared` is the dynamic shared memory in bytes.
template <class... P, class... A>
void launch(Context &context, const char *name, void (*kernel)(P...), const Grid &grid, int threads, int64_t shared, A &&...arguments) {
  if (shared > SHARED_UNASKED) context.allow_shared(reinterpret_cast<const void *>(kernel), shared, name);
  context.launched(name);
  check(context.gpu,
        gpu::launch(name, kernel, grid.checked(name), dim3(unsigned(threads)), size_t(shared), context.stream,
                    std::forward<A>(arguments)...),
        name);
}

}  // namespace castor::cuda
