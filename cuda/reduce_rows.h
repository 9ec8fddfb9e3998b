// Reductions along axes that are contiguous in memory: a group of threads (part of a warp, a warp, or a block) goes along the elements of
// one output.
#pragma once
#include "reduction.h"

namespace castor::cuda {

constexpr int VECTORS = 2;  // that a thread loads at the same time

struct Rows {
  const char *data;
  DType dtype;
  int bytes;                       // of an element
  int64_t outputs, inner, stride;  // elements of a run, and the stride from one run to the next
  int64_t vectors;                 // of an output
  Divider vectors_per_run;
  Layout<2> kept;
  Layout<1> runs;

  // Vector number i of an output whose elements begin at `base`: its offset in memory, its first position, and a bit for each of its
  // elements that exists. Vectors begin where they are aligned, so the first vector of a run may begin before the run.
  __device__ __forceinline__ uint32_t vector(int64_t i, int64_t base, int64_t &place, int64_t &position) const {
    const uint32_t run = vectors_per_run.quotient(uint32_t(i)), at = uint32_t(i) - run * vectors_per_run.divisor;
    int64_t offset[1];
    runs.offsets(run, offset);
    offset[0] += base;
    const uint32_t ahead = uint32_t(reinterpret_cast<uintptr_t>(data) + offset[0] * bytes) % (bytes == 1 ? 8 : 16) / bytes;
    const int64_t begin = int64_t(at) * VECTOR_WIDTH - (stride == 1 ? ahead : 0);
    place = offset[0] + begin * stride;
    position = run * inner + begin;
    return inside<VECTOR_WIDTH>(begin, inner);
  }

  template <class T>
  __device__ __forceinline__ void load(T (&x)[VECTORS * VECTOR_WIDTH], const int64_t (&place)[VECTORS], uint32_t valid) const {
    with_input<T>(dtype, [&](auto element) {
      using S = decltype(element);
      Pack<S, VECTOR_WIDTH> raw[VECTORS];
      GPU_UNROLL for (int k = 0; k < VECTORS; k++) {
        const S *from = reinterpret_cast<const S *>(data) + place[k];
        const uint32_t bits = valid >> k * VECTOR_WIDTH & 0xff;
        if (bits == 0xff && stride == 1) {
          raw[k] = *reinterpret_cast<const Pack<S, VECTOR_WIDTH> *>(from);
        } else {
          GPU_UNROLL for (int j = 0; j < VECTOR_WIDTH; j++) raw[k].v[j] = bits >> j & 1 ? from[j * stride] : S{};
        }
      }
      GPU_UNROLL for (int k = 0; k < VECTORS; k++)
        GPU_UNROLL for (int j = 0; j < VECTOR_WIDTH; j++) x[k * VECTOR_WIDTH + j] = convert<T>(raw[k].v[j]);
    });
  }
};

// blockIdx.y is a part of `share` vectors.
template <class T, class Op>
__global__ void __launch_bounds__(512)
reduce_rows(const __grid_constant__ Rows rows, Op op, Results<typename Op::State> results, int group, int64_t share) {
  const int64_t output = int64_t(blockIdx.x) * (blockDim.x / group) + threadIdx.x / group;
  const int lane = threadIdx.x % group;
  typename Op::State state = op.start();
  int64_t offset[2] = {};
  if (output < rows.outputs) {
    rows.kept.offsets(uint32_t(output), offset);
    const int64_t begin = blockIdx.y * share, end = min(rows.vectors, begin + share);
    for (int64_t i = begin + lane; i < end; i += VECTORS * group) {
      T x[VECTORS * VECTOR_WIDTH];
      int64_t place[VECTORS] = {}, position[VECTORS] = {};
      uint32_t valid = 0;
      GPU_UNROLL for (int k = 0; k < VECTORS; k++)
        if (i + k * group < end) valid |= rows.vector(i + k * group, offset[0], place[k], position[k]) << k * VECTOR_WIDTH;
      rows.load(x, place, valid);
      op.fold(state, x, valid, [&](int k) { return position[k / VECTOR_WIDTH] + k % VECTOR_WIDTH; });
    }
  }
  merge_group(op, state, group);
  if (lane == 0 && output < rows.outputs) results.put(op, state, output, offset[1]);
}

template <class T, class Op> void fold_rows(const Reduction &r, const Op &op) {
  const int64_t bytes = size_of(r.a.dtype), width = bytes == 1 ? 8 : 16 / bytes;
  const int64_t inner = r.count ? r.reduced.inner() : 0, stride = r.reduced.inner_stride(0);
  const bool aligned = stride != 1 || (vector_aligned(r.a.data, r.a.dtype) && r.aligned(r.kept, r.kept.rank, width) &&
                                       r.aligned(r.reduced, r.reduced.rank - 1, width));
  const int64_t vectors_per_run = std::max<int64_t>(1, blocks_for(inner + (aligned ? 0 : width - 1), VECTOR_WIDTH));
  const int64_t vectors = r.count ? r.reduced.outer() * vectors_per_run : 0;

  // A warp goes along a row of up to 4096 elements, unless there are too few rows to fill the device.
  const int threads = block_threads(256);
  const bool few = r.outputs * 32 < int64_t(r.context.multiprocessors) * 1024;
  const int group = vectors > (few ? 64 : 512) ? threads : power_of_two(blocks_for(vectors, VECTORS), 32);
  const int64_t blocks = blocks_for(r.outputs, threads / group);
  const Split split(r.context, blocks, threads, vectors, int64_t(group) * 16);
  const Grid grid(blocks, split.parts);
  const Rows rows{r.a.as<char>(), r.a.dtype, int(bytes), r.outputs, inner, stride, expect_countable(vectors), Divider(vectors_per_run),
                  make_layout(r.kept, r.kept.rank), make_layout(r.reduced, r.reduced.rank - 1)};
  run_split(r, op, split, [&](const auto &results) {
    launch(r.context, "reduce", reduce_rows<T, Op>, grid, threads, 0, rows, op, results, group, split.share);
  });
}

}  // namespace castor::cuda
