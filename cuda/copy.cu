// Copies between layouts and dtypes. With one dtype the bits are copied in units of up to 16 bytes; layouts that are contiguous along
// different axes are transposed in shared memory (transpose.h); other copies are the elementwise op x = x.
#include "../kernels/table.h"
#include "map.h"
#include "transpose.h"

namespace castor::cuda {

template <class T> struct Identity {
  __device__ __forceinline__ T operator()(const T (&x)[1]) const { return x[0]; }
};

// ---- one dtype: the bits are copied unchanged, in units of up to 16 bytes ---------------------------------------------------

constexpr int UNITS = 4;  // units of a thread, a block apart

template <class Unit>
__global__ void __launch_bounds__(512, 1) copy_kernel(const __grid_constant__ Layout<2> layout, Unit *out, const Unit *in, uint32_t n) {
  uint32_t index[UNITS];
  int64_t place[UNITS][2];
  Unit unit[UNITS];
  const uint32_t first = blockIdx.x * blockDim.x * UNITS + threadIdx.x;
  GPU_UNROLL for (int u = 0; u < UNITS; u++) index[u] = min(first + u * blockDim.x, n - 1);
  layout.offsets(index, place);
  GPU_UNROLL for (int u = 0; u < UNITS; u++) unit[u] = in[place[u][1]];
  GPU_UNROLL for (int u = 0; u < UNITS; u++)
    if (first + u * blockDim.x < n) out[place[u][0]] = unit[u];
}

// The size in bytes of the largest unit that divides the innermost dimension and the alignment of both operands.
static int64_t unit_of(const Loop<2> &loop, const char *out, const char *in, int64_t size) {
  if (loop.inner_stride(0) != 1 || loop.inner_stride(1) != 1) return size;
  uint64_t bytes = uint64_t(loop.inner() * size) | reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(in) | 16;
  for (int d = 0; d < loop.rank - 1; d++) bytes |= uint64_t(loop.stride[0][d] * size) | uint64_t(loop.stride[1][d] * size);
  return int64_t(bytes & -bytes);
}

template <class Unit> void copy_units(Loop<2> loop, int64_t per_unit, char *out, const char *in, Context &context) {
  loop.size[loop.rank - 1] /= per_unit;
  for (int d = 0; d < loop.rank - 1; d++)
    for (int k = 0; k < 2; k++) loop.stride[k][d] /= per_unit;
  const int threads = block_threads(256);
  const int64_t n = elements(loop);
  launch(context, "copy", copy_kernel<Unit>, blocks_for(n, int64_t(threads) * UNITS), threads, 0,
         make_layout(loop, loop.rank), reinterpret_cast<Unit *>(out), reinterpret_cast<const Unit *>(in), uint32_t(n));
}

template <class F> void with_unit(int64_t bytes, F f) {
  switch (bytes) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    case 8: return f(uint64_t{});
    default: return f(uint4{});
  }
}

// `transposed` is a dimension of the loop to transpose along in shared memory, or -1.
static void copy_bits(const Loop<2> &loop, int transposed, char *out, const char *in, DType dtype, Context &context) {
  const int64_t size = size_of(dtype), n = elements(loop);
  if (n == 1 || (loop.rank == 1 && loop.stride[0][0] == 1 && loop.stride[1][0] == 1))
    return check(context.gpu, cudaMemcpyAsync(out, in, size_t(n * size), cudaMemcpyDeviceToDevice, context.stream), "copy");
  const int64_t unit = transposed < 0 ? unit_of(loop, out, in, size) : size;
  with_unit(unit, [&](auto type) {
    using Unit = decltype(type);
    if constexpr (sizeof(Unit) <= 8)
      if (transposed >= 0) return transpose<Unit, true>(loop, transposed, out, dtype, in, dtype, context);
    copy_units<Unit>(loop, unit / size, out, in, context);
  });
}

// ---- the kind -----------------------------------------------------------------------------------------------------------

void copy(const View &a, const View &out) {
  Context &context = context_of(out);
  Loop<2> loop = make_loop<2>(out, {&out, &a});
  order_by_stride(loop);
  const bool convert = a.dtype != out.dtype || a.constant;
  const int transposed = transposed_dimension(loop);
  if (convert && transposed < 0) {
    const View *const inputs[] = {&a};
    return with_compute_type(compute_type(a.dtype, out.dtype),
                             [&](auto t) { map<decltype(t), 1>("copy", out, inputs, Identity<decltype(t)>{}); });
  }
  for_each_part(loop, [&](const Loop<2> &part, const int64_t (&offset)[2], int64_t) {
    char *to = at(out, offset[0]);
    const char *from = at(a, offset[1]);
    if (!convert) return copy_bits(part, transposed, to, from, a.dtype, context);
    with_compute_type(compute_type(a.dtype, out.dtype), [&](auto t) {
      transpose<decltype(t), false>(part, transposed, to, out.dtype, from, a.dtype, context);
    });
  });
}

}  // namespace castor::cuda
