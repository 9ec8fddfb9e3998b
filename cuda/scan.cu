// Cumulative sums and products. A block goes along a row, tile by tile. Where rows are neighbours in memory, a thread goes down each row
// instead. If there are too few rows to fill the device, they are split into parts: a first kernel computes the total of each part, and the
// second starts each part from the totals before it.
#include "../kernels/fold.h"
#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "../kernels/table.h"
#include "block.h"
#include "layout.h"
#include "pack.h"
#include "resident.h"
#include "split.h"

namespace castor::cuda {
namespace {

constexpr int ITEMS = 8;  // elements that a thread loads at the same time

template <class Wide> struct Combine {
  bool multiply;
  __device__ __forceinline__ Wide identity() const { return multiply ? 1 : 0; }
  __device__ __forceinline__ Wide operator()(Wide x, Wide y) const { return multiply ? m::mul(x, y) : m::add(x, y); }
};

// The operands are a and out.
struct Lines {
  char *data[2];
  DType dtype[2];
  bool vector[2];  // ITEMS neighbouring elements of a row are one vector access
  int64_t rows, n, step[2];
  Layout<2> layout;
  int64_t share;   // elements of a row in one part

  // Loads the elements first + k of a row that are before `end`. The others are 0.
  template <class T>
  __device__ __forceinline__ void load(T (&x)[ITEMS], int64_t offset, int64_t first, int64_t end) const {
    with_device_dtype(dtype[0], [&](auto element) {
      using S = decltype(element);
      const S *from = reinterpret_cast<const S *>(data[0]) + offset + first * step[0];
      Pack<S, ITEMS> raw{};
      if (vector[0] && first + ITEMS <= end) {
        raw = *reinterpret_cast<const Pack<S, ITEMS> *>(from);
      } else {
        GPU_UNROLL for (int k = 0; k < ITEMS; k++)
          if (first + k < end) raw.v[k] = from[k * step[0]];
      }
      GPU_UNROLL for (int k = 0; k < ITEMS; k++) x[k] = convert<T>(raw.v[k]);
    });
  }
  template <class T>
  __device__ __forceinline__ void store(const T (&x)[ITEMS], int64_t offset, int64_t first, int64_t end) const {
    with_device_dtype(dtype[1], [&](auto element) {
      using S = decltype(element);
      S *to = reinterpret_cast<S *>(data[1]) + offset + first * step[1];
      Pack<S, ITEMS> raw;
      GPU_UNROLL for (int k = 0; k < ITEMS; k++) raw.v[k] = convert<S>(x[k]);
      if (vector[1] && first + ITEMS <= end) {
        *reinterpret_cast<Pack<S, ITEMS> *>(to) = raw;
      } else {
        GPU_UNROLL for (int k = 0; k < ITEMS; k++)
          if (first + k < end) to[k * step[1]] = raw.v[k];
      }
    });
  }
};

// ---- along rows: blockIdx.x is the row, blockIdx.y the part -------------------------------------------------------------------

// The sum or product of what comes before this thread's elements in the block's tile, including `carry`, to which the whole tile is then
// added.
template <class Wide> __device__ __forceinline__ Wide before_thread(const Combine<Wide> &combine, Wide own, Wide &carry) {
  GPU_SHARED(Wide, warps, [32]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int distance = 1; distance < 32; distance *= 2) {
    const Wide other = __shfl_up_sync(WARP, own, distance);
    if (lane >= distance) own = combine(other, own);
  }
  __syncthreads();
  if (lane == 31) warps[warp] = own;
  __syncthreads();
  Wide before = carry;
  for (int w = 0; w < int(blockDim.x / 32); w++) {
    if (w == warp) before = carry;
    carry = combine(carry, warps[w]);
  }
  const Wide left = __shfl_up_sync(WARP, own, 1);
  return lane == 0 ? before : combine(before, left);
}

template <class T>
__global__ void __launch_bounds__(512) total_rows(const __grid_constant__ Lines lines, Combine<Total<T>> combine, Total<T> *totals) {
  int64_t offset[2];
  lines.layout.offsets(blockIdx.x, offset);
  const int64_t begin = blockIdx.y * lines.share, end = min(lines.n, begin + lines.share);
  Total<T> total = combine.identity();
  for (int64_t i = begin + threadIdx.x * ITEMS; i < end; i += int64_t(blockDim.x) * ITEMS) {
    T x[ITEMS];
    lines.load(x, offset[0], i, end);
    GPU_UNROLL for (int k = 0; k < ITEMS; k++)
      if (i + k < end) total = combine(total, Total<T>(x[k]));
  }
  total = block_reduce(total, combine.identity(), combine);
  if (threadIdx.x == 0) totals[int64_t(blockIdx.x) * gridDim.y + blockIdx.y] = total;
}

template <class T>
__global__ void __launch_bounds__(512)
scan_rows(const __grid_constant__ Lines lines, Combine<Total<T>> combine, const Total<T> *totals) {
  using Wide = Total<T>;
  int64_t offset[2];
  lines.layout.offsets(blockIdx.x, offset);
  Wide carry = combine.identity();
  if (blockIdx.y > 0) {
    totals += int64_t(blockIdx.x) * gridDim.y;
    for (uint32_t part = threadIdx.x; part < blockIdx.y; part += blockDim.x) carry = combine(carry, totals[part]);
    carry = block_reduce(carry, combine.identity(), combine);
  }
  const int64_t begin = blockIdx.y * lines.share, end = min(lines.n, begin + lines.share);
  for (int64_t tile = begin; tile < end; tile += int64_t(blockDim.x) * ITEMS) {
    const int64_t i = tile + threadIdx.x * ITEMS;
    T x[ITEMS];
    lines.load(x, offset[0], i, end);
    Wide sum[ITEMS];
    GPU_UNROLL for (int k = 0; k < ITEMS; k++) {
      const Wide value = i + k < end ? Wide(x[k]) : combine.identity();
      sum[k] = k == 0 ? value : combine(sum[k - 1], value);
    }
    const Wide before = before_thread(combine, sum[ITEMS - 1], carry);
    GPU_UNROLL for (int k = 0; k < ITEMS; k++) x[k] = T(combine(before, sum[k]));
    lines.store(x, offset[1], i, end);
  }
}

// ---- down rows that are neighbours: `lanes` of them across the block, their parts down and along blockIdx.y -------------------

template <class T>
__global__ void __launch_bounds__(512)
scan_columns(const __grid_constant__ Lines lines, Combine<Total<T>> combine, Total<T> *totals, bool first, int lanes) {
  const int64_t row = int64_t(blockIdx.x) * lanes + threadIdx.x % lanes, height = blockDim.x / lanes, y = threadIdx.x / lanes;
  const int64_t part = blockIdx.y * height + y, begin = part * lines.share, end = min(lines.n, begin + lines.share);
  if (row >= lines.rows || begin >= end) return;
  int64_t offset[2];
  lines.layout.offsets(uint32_t(row), offset);
  Total<T> sum = combine.identity();
  if (!first)
    for (int64_t before = 0; before < part; before++) sum = combine(sum, totals[before * lines.rows + row]);
  for (int64_t i = begin; i < end; i += ITEMS) {
    T x[ITEMS];
    lines.load(x, offset[0], i, end);
    GPU_UNROLL for (int k = 0; k < ITEMS; k++) {
      if (i + k < end) sum = combine(sum, Total<T>(x[k]));
      x[k] = T(sum);
    }
    if (!first) lines.store(x, offset[1], i, end);
  }
  if (first) totals[part * lines.rows + row] = sum;
}

// ---- on the host ----------------------------------------------------------------------------------------------------------

template <class T> void along(Context &context, Lines lines, const Combine<Total<T>> &combine) {
  const int threads = std::max(32, power_of_two(blocks_for(lines.n, ITEMS), block_threads(256)));
  const int64_t tile = threads * ITEMS;
  const Split split(context, lines.rows, threads, blocks_for(lines.n, tile), 4);
  lines.share = split.share * tile;
  const Grid grid(lines.rows, split.parts);
  const Scratch totals(context, split.parts > 1 ? lines.rows * split.parts * int64_t(sizeof(Total<T>)) : 0);
  if (split.parts > 1) launch(context, "scan", total_rows<T>, grid, threads, 0, lines, combine, totals.as<Total<T>>());
  launch(context, "scan", scan_rows<T>, grid, threads, 0, lines, combine, totals.as<const Total<T>>());
}

template <class T> void down(Context &context, Lines lines, const Combine<Total<T>> &combine) {
  const int threads = block_threads(256), lanes = lanes_for(lines.rows, threads), height = threads / lanes;
  const int64_t blocks = blocks_for(lines.rows, lanes);
  const Split split(context, blocks, threads, blocks_for(lines.n, ITEMS * height), 4);
  lines.share = blocks_for(blocks_for(lines.n, split.parts * height), ITEMS) * ITEMS;
  const int64_t parts = blocks_for(lines.n, lines.share);
  const Grid grid(blocks, blocks_for(parts, height));
  const Scratch totals(context, parts > 1 ? lines.rows * parts * int64_t(sizeof(Total<T>)) : 0);
  for (const bool first : {true, false})
    if (!first || parts > 1)
      launch(context, "scan", scan_columns<T>, grid, threads, 0, lines, combine, totals.as<Total<T>>(), first, lanes);
}

}  // namespace

void scan(int op, const View &given, const View &out, int axis) {
  Context &context = context_of(out);
  const Resident resident(context, given);
  const View &a = resident;
  const View *const views[] = {&a, &out};
  Loop<2> loop;
  for (int d = 0; d < out.rank; d++)
    if (d != axis) append_dimension(loop, out.size[d], {a.stride[d], out.stride[d]});
  Lines lines{{a.as<char>(), out.as<char>()},         {a.dtype, out.dtype}, {}, elements(loop), out.size[axis],
              {a.stride[axis], out.stride[axis]}, make_layout(loop, loop.rank), 0};
  bool side_by_side = loop.inner() >= 8;
  for (int k = 0; k < 2; k++) {
    int64_t steps = 0;
    for (int d = 0; d < loop.rank; d++) steps |= loop.stride[k][d];
    lines.vector[k] = lines.step[k] == 1 && steps % ITEMS == 0 && vector_aligned(views[k]->data, views[k]->dtype);
    side_by_side &= std::abs(loop.inner_stride(k)) < std::abs(lines.step[k]);
  }
  with_compute_type(compute_type(a.dtype, out.dtype), [&](auto zero) {
    using T = decltype(zero);
    const Combine<Total<T>> combine{Scan(op) == Scan::cumprod};
    side_by_side ? down<T>(context, lines, combine) : along<T>(context, lines, combine);
  });
}

}  // namespace castor::cuda
