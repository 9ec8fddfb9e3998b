// Copies between layouts that are contiguous along different axes, through a square tile in shared memory. It is read along one axis and
// written along the other, so that neighbouring threads access neighbouring elements both times.
#pragma once
#include "element.h"
#include "launch.h"
#include "layout.h"

namespace castor::cuda {

constexpr int TRANSPOSE_THREADS = 256;

// E is the type of the tile's elements: an integer of the size of the dtype whose bits are copied, or the type that both dtypes convert to
// and from.
template <class E, bool Bits> struct Square {
  static constexpr int SIDE = sizeof(E) == 8 ? 32 : 64, STEP = TRANSPOSE_THREADS / SIDE;
  static constexpr int PITCH = SIDE + (sizeof(E) < 4 ? 4 / sizeof(E) : 1);  // an odd number of banks, so that columns have no conflicts

  template <class F> __device__ static void with_element(DType dtype, F f) {
    if constexpr (Bits) f(E{});
    else with_device_dtype(dtype, f);
  }
  template <class To, class From> __device__ static To convert_to(From x) {
    if constexpr (Bits) return x;
    else return convert<To>(x);
  }
};

// The two axes of the tile: rows are contiguous in the input, columns in the output. Strides of output and input.
struct Axes {
  uint32_t rows, columns;
  int64_t row_stride[2], column_stride[2];
};

template <class E, bool Bits> __global__ void __launch_bounds__(TRANSPOSE_THREADS)
    transpose_kernel(const __grid_constant__ Layout<2> batch, Axes axes, char *out, DType out_dtype, const char *in, DType in_dtype) {
  using S = Square<E, Bits>;
  constexpr int SIDE = S::SIDE, STEP = S::STEP;
  GPU_SHARED(E, square, [SIDE][S::PITCH]);
  const uint32_t across = (axes.columns + SIDE - 1) / SIDE, down = (axes.rows + SIDE - 1) / SIDE;
  const uint32_t first_column = blockIdx.x % across * SIDE, first_row = blockIdx.x / across % down * SIDE;
  int64_t place[2];
  batch.offsets(blockIdx.x / across / down, place);
  const int lane = threadIdx.x % SIDE, line = threadIdx.x / SIDE;

  S::with_element(in_dtype, [&](auto element) {
    const uint32_t row = first_row + lane;
    const auto *from = reinterpret_cast<const decltype(element) *>(in) + place[1] + row * axes.row_stride[1];
    GPU_UNROLL for (int c = 0; c < SIDE; c += STEP) {
      const uint32_t column = first_column + c + line;
      if (row < axes.rows && column < axes.columns)
        square[c + line][lane] = S::template convert_to<E>(from[column * axes.column_stride[1]]);
    }
  });
  __syncthreads();
  S::with_element(out_dtype, [&](auto element) {
    using To = decltype(element);
    const uint32_t column = first_column + lane;
    To *to = reinterpret_cast<To *>(out) + place[0] + column * axes.column_stride[0];
    GPU_UNROLL for (int r = 0; r < SIDE; r += STEP) {
      const uint32_t row = first_row + r + line;
      if (row < axes.rows && column < axes.columns) to[row * axes.row_stride[0]] = S::template convert_to<To>(square[lane][r + line]);
    }
  });
}

// The dimension along which the input is contiguous, if the innermost dimension is contiguous only in the output and both are long enough,
// else -1.
inline int transposed_dimension(const Loop<2> &loop) {
  constexpr int64_t LONG = 16;
  if (loop.rank < 2 || std::abs(loop.inner_stride(0)) != 1 || std::abs(loop.inner_stride(1)) <= 1 || loop.inner() < LONG) return -1;
  for (int d = 0; d < loop.rank - 1; d++)
    if (std::abs(loop.stride[1][d]) == 1 && loop.size[d] >= LONG) return d;
  return -1;
}

template <class E, bool Bits>
void transpose(const Loop<2> &loop, int d, char *out, DType out_dtype, const char *in, DType in_dtype, Context &context) {
  constexpr int SIDE = Square<E, Bits>::SIDE;
  const int inner = loop.rank - 1;
  Loop<2> batch;
  for (int i = 0; i < inner; i++)
    if (i != d) append_dimension(batch, loop.size[i], {loop.stride[0][i], loop.stride[1][i]});
  const Axes axes{uint32_t(loop.size[d]),
                  uint32_t(loop.size[inner]),
                  {loop.stride[0][d], loop.stride[1][d]},
                  {loop.stride[0][inner], loop.stride[1][inner]}};
  const int64_t squares = blocks_for(axes.rows, SIDE) * blocks_for(axes.columns, SIDE);
  launch(context, "copy", transpose_kernel<E, Bits>, squares * elements(batch), TRANSPOSE_THREADS, 0,
         make_layout(batch, batch.rank), axes, out, out_dtype, in, in_dtype);
}

}  // namespace castor::cuda
