// The engine of reductions: which threads read what, and how their states meet. The ops are in reduce.cu.
//
// Where the reduced positions lie side by side, a group of threads (a part of a warp, a warp, or a block) walks along them: "rows".
// Where the outputs do, each thread walks down four columns. Either way, reductions too few to fill the device are split into parts
// whose states a second kernel merges. The order of every sum follows from shapes alone.
//
// An Op has a State, the bytes of a column that a thread has UNDER_WAY (few where folding takes many registers), and
//   start()                        the state of no elements
//   fold(state, x, valid, where)   takes in those of a few elements x[k] that `valid` has the bits of; where(k): their positions
//   merge(state, other)
//   finish(state)                  what is stored
#pragma once
#include "block.h"
#include "layout.h"
#include "pack.h"
#include "split.h"

namespace castor::cuda {

struct Reduction {
  Context &context;
  const View &a, &out;
  Loop<2> kept;     // of a, of out
  Loop<1> reduced;  // of a
  int64_t outputs = 1, count = 1;

  Reduction(Context &context, const View &a, const View &out, uint32_t axes, bool keep_order) : context(context), a(a), out(out) {
    for (int d = 0; d < a.rank; d++) {
      const bool gone = axes >> d & 1;
      if (gone) append_dimension(reduced, a.size[d], {a.stride[d]});
      else append_dimension(kept, a.size[d], {a.stride[d], out.stride[d]});
      (gone ? count : outputs) *= a.size[d];
    }
    if (count == 0) reduced.rank = 0;
    order_by_stride(kept);
    if (!keep_order) order_by_stride(reduced);
  }

  // Whether the outputs lie closer together than what they are reduced from, and there is work for a warp in a run of them.
  bool columns() const {
    return std::abs(kept.inner_stride(0)) < std::abs(reduced.inner_stride(0)) && kept.inner() * count >= 256;
  }
  // Whether vectors of `elements` can be loaded at any multiple of as many in any run of the loop.
  template <int N> bool aligned(const Loop<N> &loop, int rank, int64_t elements) const {
    for (int d = 0; d < rank; d++)
      if (loop.stride[0][d] % elements) return false;
    return true;
  }
};

// Where results go: to their places in out, or as the states of parts of them, for a second kernel.
template <class State> struct Results {
  char *out;
  DType dtype;
  State *parts;  // of output i: parts[i * gridDim.y ..], or null

  template <class Op> __device__ __forceinline__ void put(const Op &op, const State &state, int64_t output, int64_t offset) const {
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

// The states of a group of threads (2^n up to 32, or the whole block), merged in its first thread.
template <class Op> __device__ __forceinline__ void merge_group(const Op &op, typename Op::State &state, int group) {
  for (int distance = min(group, 32) / 2; distance > 0; distance /= 2) op.merge(state, shuffle_down(state, distance, min(group, 32)));
  if (group <= 32) return;
  GPU_SHARED(typename Op::State, part, [32]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (lane == 0) part[warp] = state;
  __syncthreads();
  if (warp > 0) return;
  state = lane < int(blockDim.x / 32) ? part[lane] : op.start();
  GPU_UNROLL for (int distance = 16; distance > 0; distance /= 2) op.merge(state, shuffle_down(state, distance, 32));
}

// ---- along the reduced positions -----------------------------------------------------------------------------------------

constexpr int PACKETS = 2;  // that a thread has under way

struct Rows {
  const char *data;
  DType dtype;
  int bytes;                       // of an element
  int64_t outputs, inner, stride;  // elements of a run, and from one to the next
  int64_t packets;                 // of an output
  Divider packets_a_run;
  Layout<2> kept;
  Layout<1> runs;

  // Packet number i of an output whose elements begin at `base`: its place in memory, its first position, and its valid elements. The
  // packets of a run begin at a multiple of the packet's size in memory, so that the first may begin before the run.
  __device__ __forceinline__ uint32_t packet(int64_t i, int64_t base, int64_t &place, int64_t &position) const {
    const uint32_t run = packets_a_run.quotient(uint32_t(i)), at = uint32_t(i) - run * packets_a_run.divisor;
    int64_t offset[1];
    runs.offsets(run, offset);
    offset[0] += base;
    const uint32_t ahead = uint32_t(reinterpret_cast<uintptr_t>(data) + offset[0] * bytes) % (bytes == 1 ? 8 : 16) / bytes;
    const int64_t begin = int64_t(at) * PACKET - (stride == 1 ? ahead : 0);
    place = offset[0] + begin * stride;
    position = run * inner + begin;
    return inside<PACKET>(begin, inner);
  }

  template <class T>
  __device__ __forceinline__ void load(T (&x)[PACKETS * PACKET], const int64_t (&place)[PACKETS], uint32_t valid) const {
    with_input<T>(dtype, [&](auto element) {
      using S = decltype(element);
      Pack<S, PACKET> raw[PACKETS];
      GPU_UNROLL for (int k = 0; k < PACKETS; k++) {
        const S *from = reinterpret_cast<const S *>(data) + place[k];
        const uint32_t bits = valid >> k * PACKET & 0xff;
        if (bits == 0xff && stride == 1) {
          raw[k] = *reinterpret_cast<const Pack<S, PACKET> *>(from);
        } else {
          GPU_UNROLL for (int j = 0; j < PACKET; j++) raw[k].v[j] = bits >> j & 1 ? from[j * stride] : S{};
        }
      }
      GPU_UNROLL for (int k = 0; k < PACKETS; k++)
        GPU_UNROLL for (int j = 0; j < PACKET; j++) x[k * PACKET + j] = convert<T>(raw[k].v[j]);
    });
  }
};

// blockIdx.y: a part of `share` packets.
template <class T, class Op>
__global__ void __launch_bounds__(512) reduce_rows(const __grid_constant__ Rows rows, Op op, Results<typename Op::State> results, int group, int64_t share) {
  const int64_t output = int64_t(blockIdx.x) * (blockDim.x / group) + threadIdx.x / group;
  const int lane = threadIdx.x % group;
  typename Op::State state = op.start();
  int64_t offset[2] = {};
  if (output < rows.outputs) {
    rows.kept.offsets(uint32_t(output), offset);
    const int64_t begin = blockIdx.y * share, end = min(rows.packets, begin + share);
    for (int64_t i = begin + lane; i < end; i += PACKETS * group) {
      T x[PACKETS * PACKET];
      int64_t place[PACKETS] = {}, position[PACKETS] = {};
      uint32_t valid = 0;
      GPU_UNROLL for (int k = 0; k < PACKETS; k++)
        if (i + k * group < end) valid |= rows.packet(i + k * group, offset[0], place[k], position[k]) << k * PACKET;
      rows.load(x, place, valid);
      op.fold(state, x, valid, [&](int k) { return position[k / PACKET] + k % PACKET; });
    }
  }
  merge_group(op, state, group);
  if (lane == 0 && output < rows.outputs) results.put(op, state, output, offset[1]);
}

// ---- along the outputs -------------------------------------------------------------------------------------------------

constexpr int COLUMNS = 4;  // of a thread
// Elements of a column that a thread has under way.
template <class T, class Op> constexpr int ROWS = Op::UNDER_WAY / sizeof(T);

struct Columns {
  const char *data;
  DType dtype;
  int64_t width, stride, out_stride;  // outputs of a line, from one to the next
  int64_t count;
  bool vector;  // a thread's columns are neighbours, loaded at once; else they are a block's width apart
  Divider tiles;
  Layout<2> lines;
  Layout<1> reduced;

  template <class T, int N, class Column>
  __device__ __forceinline__ void load(T (&x)[COLUMNS][N], const int64_t (&place)[N], uint32_t valid, Column column) const {
    with_input<T>(dtype, [&](auto element) {
      using S = decltype(element);
      Pack<S, COLUMNS> raw[N];
      GPU_UNROLL for (int i = 0; i < N; i++) {
        const S *from = reinterpret_cast<const S *>(data) + place[i];
        const bool row = valid >> i & 1;
        if (vector) raw[i] = row && column(0) < width ? *reinterpret_cast<const Pack<S, COLUMNS> *>(from + column(0)) : Pack<S, COLUMNS>{};
        else GPU_UNROLL for (int j = 0; j < COLUMNS; j++) raw[i].v[j] = row && column(j) < width ? from[column(j) * stride] : S{};
      }
      GPU_UNROLL for (int i = 0; i < N; i++)
        GPU_UNROLL for (int j = 0; j < COLUMNS; j++) x[j][i] = convert<T>(raw[i].v[j]);
    });
  }
};

// A block has `lanes` threads across, the rest down. blockIdx.y: a part of `share` positions.
template <class T, class Op>
__global__ void __launch_bounds__(512) reduce_columns(const __grid_constant__ Columns c, Op op, Results<typename Op::State> results, int lanes, int64_t share) {
  using State = typename Op::State;
  constexpr int N = ROWS<T, Op>;
  GPU_DYN_SHARED(State, all);  // (threads down, columns of the block)
  const int lane = threadIdx.x % lanes, y = threadIdx.x / lanes, height = blockDim.x / lanes;
  const uint32_t line = c.tiles.quotient(blockIdx.x);
  const int64_t first = int64_t(blockIdx.x - line * c.tiles.divisor) * lanes * COLUMNS;
  auto column_of = [&](int lane, int j) { return first + (c.vector ? lane * COLUMNS + j : j * lanes + lane); };
  int64_t offset[2];
  c.lines.offsets(line, offset);

  State state[COLUMNS];
  GPU_UNROLL for (State &s : state) s = op.start();
  const int64_t begin = blockIdx.y * share, end = min(c.count, begin + share);
  for (int64_t row = begin + y; row < end; row += int64_t(height) * N) {
    T x[COLUMNS][N];
    int64_t place[N];
    uint32_t valid = 0;
    GPU_UNROLL for (int i = 0; i < N; i++) {
      int64_t down[1] = {};
      if (row + i * height < end) {
        c.reduced.offsets(uint32_t(row + i * height), down);
        valid |= 1u << i;
      }
      place[i] = offset[0] + down[0];
    }
    c.load(x, place, valid, [&](int j) { return column_of(lane, j); });
    GPU_UNROLL for (int j = 0; j < COLUMNS; j++) op.fold(state[j], x[j], valid, [&](int i) { return row + i * height; });
  }

  const int across = lanes * COLUMNS;
  GPU_UNROLL for (int j = 0; j < COLUMNS; j++) all[y * across + j * lanes + lane] = state[j];
  __syncthreads();
  for (int slot = threadIdx.x; slot < across; slot += blockDim.x) {
    State sum = all[slot];
    for (int i = 1; i < height; i++) op.merge(sum, all[i * across + slot]);
    const int64_t column = column_of(slot % lanes, slot / lanes);
    if (column < c.width) results.put(op, sum, line * c.width + column, offset[1] + column * c.out_stride);
  }
}

// ---- the parts of a split reduction ----------------------------------------------------------------------------------------

template <class Op>
__global__ void __launch_bounds__(512) merge_parts(const typename Op::State *parts, int count, Op op, Results<typename Op::State> results, Layout<1> places, int64_t outputs, int group) {
  const int64_t output = int64_t(blockIdx.x) * (blockDim.x / group) + threadIdx.x / group;
  const int lane = threadIdx.x % group;
  typename Op::State state = op.start();
  if (output < outputs)
    for (int k = lane; k < count; k += group) op.merge(state, parts[output * count + k]);
  merge_group(op, state, group);
  if (lane != 0 || output >= outputs) return;
  int64_t offset[1];
  places.offsets(uint32_t(output), offset);
  results.put(op, state, output, offset[0]);
}

// ---- on the host ----------------------------------------------------------------------------------------------------------

// Calls run(results, parts) and, if the reduction is split, merges.
template <class Op, class Run> void run_split(const Reduction &r, const Op &op, const Split &split, Run run) {
  using State = typename Op::State;
  const Results<State> final{r.out.as<char>(), r.out.dtype, nullptr};
  if (split.parts == 1) return run(final);
  const Scratch scratch(r.context, r.outputs * split.parts * int64_t(sizeof(State)));
  run(Results<State>{nullptr, r.out.dtype, scratch.as<State>()});
  Loop<1> places;
  for (int d = 0; d < r.kept.rank; d++) append_dimension(places, r.kept.size[d], {r.kept.stride[1][d]});
  const int threads = block_threads(256), group = split.parts > 32 ? threads : power_of_two(split.parts, 32);
  launch(r.context, "reduce", merge_parts<Op>, dim3(unsigned(blocks_for(r.outputs, threads / group))), threads, 0, scratch.as<const State>(), split.parts, op,
         final, make_layout(places, places.rank), r.outputs, group);
}

template <class T, class Op> void fold_rows(const Reduction &r, const Op &op) {
  const int64_t bytes = size_of(r.a.dtype), vector = bytes == 1 ? 8 : 16 / bytes, inner = r.count ? r.reduced.inner() : 0;
  const bool aligned = r.reduced.inner_stride(0) != 1 || (packet_aligned(r.a.data, r.a.dtype) && r.aligned(r.kept, r.kept.rank, vector) &&
                                                          r.aligned(r.reduced, r.reduced.rank - 1, vector));
  const int64_t packets_a_run = std::max<int64_t>(1, blocks_for(inner + (aligned ? 0 : vector - 1), PACKET));
  const int64_t packets = r.count ? r.reduced.outer() * packets_a_run : 0;

  const int threads = block_threads(256);
  const bool few = r.outputs * 32 < int64_t(r.context.multiprocessors) * 1024;
  const int group = packets > (few ? 64 : 512) ? threads : power_of_two(blocks_for(packets, PACKETS), 32);
  const int64_t blocks = blocks_for(r.outputs, threads / group);
  const Split split(r.context, blocks, threads, packets, int64_t(group) * 16);
  const Rows rows{r.a.as<char>(), r.a.dtype, int(bytes), r.outputs, inner, r.reduced.inner_stride(0), packets, Divider(uint32_t(packets_a_run)),
                  make_layout(r.kept, r.kept.rank), make_layout(r.reduced, r.reduced.rank - 1)};
  run_split(r, op, split, [&](const auto &results) {
    launch(r.context, "reduce", reduce_rows<T, Op>, dim3(unsigned(blocks), unsigned(split.parts)), threads, 0, rows, op, results, group, split.share);
  });
}

template <class T, class Op> void fold_columns(const Reduction &r, const Op &op) {
  constexpr int N = ROWS<T, Op>;
  const int64_t width = r.kept.inner(), bytes = size_of(r.a.dtype) * COLUMNS;
  const bool vector = r.kept.inner_stride(0) == 1 && width % COLUMNS == 0 && reinterpret_cast<uintptr_t>(r.a.data) % std::min<int64_t>(16, bytes) == 0 &&
                      r.aligned(r.kept, r.kept.rank - 1, COLUMNS) && r.aligned(r.reduced, r.reduced.rank, COLUMNS);
  // Threads down as far as there are rows for them; the others across, at least a warp of them where there are columns.
  const int most = block_threads(256), tall = power_of_two(blocks_for(r.count, N), most);
  const int lanes = power_of_two(blocks_for(width, COLUMNS), std::max(32, most / tall));
  const int threads = std::max(32, std::min(most, lanes * tall)), height = threads / lanes;
  const int64_t tiles = blocks_for(width, lanes * COLUMNS), blocks = r.kept.outer() * tiles;
  const Split split(r.context, blocks, threads, r.count, int64_t(height) * N * 4);
  const Columns columns{r.a.as<char>(), r.a.dtype, width, r.kept.inner_stride(0), r.kept.inner_stride(1), r.count, vector,
                        Divider(uint32_t(tiles)), make_layout(r.kept, r.kept.rank - 1), make_layout(r.reduced, r.reduced.rank)};
  const int64_t shared = int64_t(threads) * COLUMNS * sizeof(typename Op::State);
  run_split(r, op, split, [&](const auto &results) {
    launch(r.context, "reduce", reduce_columns<T, Op>, dim3(unsigned(blocks), unsigned(split.parts)), threads, shared, columns, op, results, lanes, split.share);
  });
}

template <class T, class Op> void fold_all(const Reduction &r, const Op &op) {
  r.columns() ? fold_columns<T>(r, op) : fold_rows<T>(r, op);
}

}  // namespace castor::cuda
