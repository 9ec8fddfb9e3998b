#include "../kernels/table.h"
#include "element.h"
#include "launch.h"
#include "layout.h"

namespace castor::cuda {

// out[index of the loop] = f(index in row-major order of the view).
template <class T, class F> __global__ void generate_kernel(Layout<1> layout, char *out, DType dtype, int64_t n, F f) {
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += int64_t(gridDim.x) * blockDim.x) {
    int64_t offset[1];
    layout.offsets(uint32_t(i), offset);
    store<T>(out, dtype, offset[0], f(i));
  }
}

template <class T> struct Constant {
  T value;
  __device__ T operator()(int64_t) const { return value; }
};

void fill(const View &out, double value) {
  Context &context = context_of(out);
  const int threads = block_threads(256);
  with_compute_type(out.dtype, [&](auto t) {
    using T = decltype(t);
    const Loop<1> loop = make_loop<1>(out, {&out});
    launch(context, "fill", generate_kernel<T, Constant<T>>, dim3(unsigned(blocks_for(out.numel(), threads))), threads, 0,
           make_layout(loop, loop.rank), out.as<char>(), out.dtype, out.numel(), Constant<T>{convert<T>(value)});
  });
}

void arange(const View &, double, double) { fail(CASTOR_INTERNAL, "arange has no CUDA kernel yet"); }
void triangle(bool, const View &, const View &, int) { fail(CASTOR_INTERNAL, "triangle has no CUDA kernel yet"); }

}  // namespace castor::cuda
