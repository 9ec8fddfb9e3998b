// gather and indexSelect. A thread copies UNDER_WAY units, whose loads are in flight together. A unit is an element, or up to 16 bytes
// where whole rows are copied.
#include "../kernels/ops.h"
#include "../kernels/table.h"
#include "index.h"
#include "layout.h"
#include "resident.h"

namespace castor::cuda {
namespace {

constexpr int UNDER_WAY = 4;  // elements that a thread loads at the same time

// The unit that is moved: an element of the tensors, or several of them at once where whole rows are copied.
struct alignas(16) Sixteen { uint64_t halves[2]; };

// out[i] = a[i], with the position along the axis replaced by the index. The operands are out, a and index.
template <class E> struct Gathering {
  Layout<3> layout;
  E *out;
  const E *a;
  Index index;
  int64_t axis_stride, n;
};

template <class E> __global__ void __launch_bounds__(512, 1) gather_kernel(const __grid_constant__ Gathering<E> g) {
  const int64_t first = int64_t(blockIdx.x) * blockDim.x * UNDER_WAY + threadIdx.x;
  int64_t offset[UNDER_WAY][3] = {}, picked[UNDER_WAY] = {};
  E value[UNDER_WAY];
  GPU_UNROLL for (int k = 0; k < UNDER_WAY; k++) {
    if (first + k * blockDim.x >= g.n) continue;
    g.layout.offsets(uint32_t(first + k * blockDim.x), offset[k]);
    picked[k] = g.index.raw(offset[k][2]);
  }
  GPU_UNROLL for (int k = 0; k < UNDER_WAY; k++)
    if (first + k * blockDim.x < g.n) value[k] = g.a[offset[k][1] + g.index.checked(picked[k]) * g.axis_stride];
  GPU_UNROLL for (int k = 0; k < UNDER_WAY; k++)
    if (first + k * blockDim.x < g.n) g.out[offset[k][0]] = value[k];
}

template <class E>
void gather_all(Context &context, const Loop<3> &all, const View &a, const Index &index, const View &out, int64_t axis_stride) {
  for_each_part(all, [&](const Loop<3> &loop, const int64_t (&offset)[3], int64_t) {
    Gathering<E> g{make_layout(loop, loop.rank), out.as<E>() + offset[0], a.as<const E>() + offset[1], index, axis_stride, elements(loop)};
    g.index.data += offset[2] * (index.wide ? 8 : 4);
    const int threads = block_threads(256);
    launch(context, "gather", gather_kernel<E>, blocks_for(g.n, threads * UNDER_WAY), threads, 0, g);
  });
}

// Turns a loop over elements into one over units of up to 16 bytes, the largest that fits everywhere, and returns their size in bytes.
int64_t widen(Loop<3> &loop, const View &a, const View &out, int64_t &axis_stride) {
  int64_t bytes = size_of(out.dtype);
  const int last = loop.rank - 1;
  if (last < 0 || loop.stride[0][last] != 1 || loop.stride[1][last] != 1 || loop.stride[2][last] != 0) return bytes;
  uint64_t steps = uint64_t(loop.size[last] | axis_stride);
  for (int d = 0; d < last; d++) steps |= uint64_t(loop.stride[0][d] | loop.stride[1][d]);
  steps = steps * bytes | reinterpret_cast<uintptr_t>(a.data) | reinterpret_cast<uintptr_t>(out.data);
  int64_t factor = 1;
  while (bytes < 16 && steps % (2 * bytes) == 0) bytes *= 2, factor *= 2;
  loop.size[last] /= factor;
  axis_stride /= factor;
  for (int d = 0; d < last; d++) loop.stride[0][d] /= factor, loop.stride[1][d] /= factor;
  return bytes;
}

}  // namespace

void gather(int op, const View &given, const View &given_index, const View &out, int axis) {
  Context &context = context_of(out);
  const Resident resident(context, given), resident_index(context, given_index);
  const View &a = resident, &index = resident_index;
  const bool along_one = Gather(op) == Gather::indexSelect;
  Loop<3> loop;
  for (int d = 0; d < out.rank; d++)
    append_dimension(loop, out.size[d], {out.stride[d], d == axis ? 0 : a.stride[d], index_stride(index, along_one, axis, d)});
  int64_t axis_stride = a.stride[axis];
  const int64_t bytes = widen(loop, a, out, axis_stride);
  const auto run = [&](auto unit) {
    gather_all<decltype(unit)>(context, loop, a, Index(context, index, a.size[axis], site_of(Gather(op))), out, axis_stride);
  };
  switch (bytes) {
    case 1: return run(uint8_t{});
    case 2: return run(uint16_t{});
    case 4: return run(uint32_t{});
    case 8: return run(uint64_t{});
    default: return run(Sixteen{});
  }
}

}  // namespace castor::cuda
