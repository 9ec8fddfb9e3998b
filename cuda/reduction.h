// The engine of reductions: it decides which threads read which elements, and how their states are merged. The ops are in reduce.cu.
//
// Threads go along what is contiguous in memory: the reduced positions (reduce_rows.h) or the outputs (reduce_columns.h). In both cases,
// reductions that are too few to fill the device are split into parts, and a second kernel merges the states of the parts. The order of
// every sum depends only on the shapes.
//
// An Op has a State, the number UNDER_WAY of bytes of a column that a thread loads at the same time (few for ops that need many registers),
// and
// start()                        the state of no elements
// fold(state, x, valid, where)   adds the elements x[k] whose bits are set in `valid`; where(k) is the position of x[k]
// merge(state, other)
// finish(state)                  the value that is stored
#pragma once
#include "block.h"
#include "layout.h"
#include "pack.h"
#include "split.h"

namespace castor::cuda {

struct Reduction {
  Context &context;
  const View &a, &out;
  Loop<2> kept;     // dimensions of the outputs: strides of a, of out
  Loop<1> reduced;  // dimensions that are reduced: strides of a
  int64_t outputs = 1, count = 1;

  Reduction(Context &context, const View &a, const View &out, uint32_t axes, bool keep_order) : context(context), a(a), out(out) {
    for (int d = 0; d < a.rank; d++) {
      const bool gone = axes >> d & 1;
      if (gone) append_dimension(reduced, a.size[d], {a.stride[d]});
      else append_dimension(kept, a.size[d], {a.stride[d], out.stride[d]});
      (gone ? count : outputs) *= a.size[d];
    }
    expect_countable(outputs);
    if (count == 0) reduced.rank = 0;
    order_by_stride(kept);
    if (!keep_order) order_by_stride(reduced);
  }

  // Whether the outputs are closer together in memory than the elements that are reduced, and a run of outputs is enough work for a warp.
  bool columns() const {
    return std::abs(kept.inner_stride(0)) < std::abs(reduced.inner_stride(0)) && kept.inner() * count >= 256;
  }
  // Whether vectors of `elements` can be loaded at every multiple of `elements` in every run of the loop.
  template <int N> bool aligned(const Loop<N> &loop, int rank, int64_t elements) const {
    for (int d = 0; d < rank; d++)
      if (loop.stride[0][d] % elements) return false;
    return true;
  }
};

// The destination of the results of a kernel: the output, or the states of parts, which a second kernel merges.
template <class State> struct Results {
  char *out;
  DType dtype;
  State *parts;  // the states of output i are at parts[i * gridDim.y ..]; null if the reduction is not split

  template <class Op>
  __device__ __forceinline__ void put(const Op &op, const State &state, int64_t output, int64_t offset) const {
    if (parts) parts[output * gridDim.y + blockIdx.y] = state;
    else store(out, dtype, offset, op.finish(state));
  }
};

template <class S> __device__ __forceinline__ S shuffle_down(const S &s, int distance, int width) {
  static_assert(sizeof(S) % 4 == 0, "a state is made of words");
  uint32_t words[sizeof(S) / 4];
  memcpy(words, &s, sizeof s);
  GPU_UNROLL for (uint32_t &word : words) word = __shfl_down_sync(WARP, word, distance, width);
  S other;
  memcpy(&other, words, sizeof s);
  return other;
}

// Merges the states of a group of threads (a power of two up to 32, or the whole block) into that of its first thread.
template <class Op> __device__ __forceinline__ void merge_group(const Op &op, typename Op::State &state, int group) {
  const int width = min(group, 32);
  for (int distance = width / 2; distance > 0; distance /= 2) op.merge(state, shuffle_down(state, distance, width));
  if (group <= 32) return;
  GPU_SHARED(typename Op::State, part, [32]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (lane == 0) part[warp] = state;
  __syncthreads();
  if (warp > 0) return;
  state = lane < int(blockDim.x / 32) ? part[lane] : op.start();
  GPU_UNROLL for (int distance = 16; distance > 0; distance /= 2) op.merge(state, shuffle_down(state, distance, 32));
}

// ---- the parts of a split reduction ----------------------------------------------------------------------------------------

template <class Op, class State = typename Op::State>
__global__ void __launch_bounds__(512)
merge_parts(const State *parts, int count, Op op, Results<State> results, Layout<1> places, int64_t outputs, int group) {
  const int64_t output = int64_t(blockIdx.x) * (blockDim.x / group) + threadIdx.x / group;
  const int lane = threadIdx.x % group;
  State state = op.start();
  if (output < outputs)
    for (int k = lane; k < count; k += group) op.merge(state, parts[output * count + k]);
  merge_group(op, state, group);
  if (lane != 0 || output >= outputs) return;
  int64_t offset[1];
  places.offsets(uint32_t(output), offset);
  results.put(op, state, output, offset[0]);
}

// Calls run(results, parts) and, if the reduction is split, merges the parts.
template <class Op, class Run> void run_split(const Reduction &r, const Op &op, const Split &split, Run run) {
  using State = typename Op::State;
  const Results<State> final{r.out.as<char>(), r.out.dtype, nullptr};
  if (split.parts == 1) return run(final);
  const Scratch scratch(r.context, r.outputs * split.parts * int64_t(sizeof(State)));
  run(Results<State>{nullptr, r.out.dtype, scratch.as<State>()});
  Loop<1> places;
  for (int d = 0; d < r.kept.rank; d++) append_dimension(places, r.kept.size[d], {r.kept.stride[1][d]});
  const int threads = block_threads(256), group = split.parts > 128 ? threads : power_of_two(split.parts, 32);
  launch(r.context, "reduce", merge_parts<Op>, blocks_for(r.outputs, threads / group), threads, 0,
         scratch.as<const State>(), split.parts, op, final, make_layout(places, places.rank), r.outputs, group);
}

}  // namespace castor::cuda
