// Code of the forward and backward passes of batchNorm and groupNorm. A contiguous tensor (N, C, L) is seen as a matrix. Its rows are
// the planes (n, c), or the groups of a sample if all channels of a group are treated alike.
#pragma once
#include "../kernels/ops.h"
#include "floats.h"
#include "norm.h"
#include "split.h"

namespace castor::cuda {

constexpr int PLANE_THREADS = 256;  // the largest block of teams that work on planes

// A contiguous tensor, seen as a matrix.
struct Matrix : View {
  Matrix(const View &v, int64_t rows) {
    if (rows > MOST_ELEMENTS) fail(CASTOR_SHAPE, "%lld channels of samples are too many", (long long)rows);
    data = v.data;
    dtype = v.dtype;
    device = v.device;
    rank = 2;
    size[0] = rows;
    size[1] = stride[0] = v.numel() / rows;
    stride[1] = 1;
  }
};

// One value for each channel, of any dtype.
struct PerChannel {
  char *data;  // null if absent
  int64_t stride;
  DType dtype;

  explicit PerChannel(const View *v) : data(nullptr), stride(0), dtype(DType::f32) {
    if (v) data = v->as<char>(), stride = v->stride[0], dtype = v->dtype;
  }
  template <class T> __device__ __forceinline__ T get(int64_t c, T otherwise) const {
    return data ? load<T>(data, dtype, c * stride) : otherwise;
  }
  template <class T> __device__ __forceinline__ void put(int64_t c, T x) const { store(data, dtype, c * stride, x); }
};

// The channel and the set of a plane n C + c. A set is the planes that share a mean and a deviation: those of one channel of the whole
// batch, or those of `group` neighbouring channels of a sample.
struct Sets {
  bool batch;
  int64_t planes, count;  // planes; sets
  int64_t shared;         // elements of a set
  Divider channels, group;

  Sets(BatchGroupNorm op, const View &a, int groups)
      : batch(op != BatchGroupNorm::groupNorm), planes(a.size[0] * a.size[1]), count(batch ? a.size[1] : a.size[0] * groups),
        shared(a.numel() / count), channels(uint32_t(a.size[1])), group(uint32_t(a.size[1] / groups)) {}

  __device__ __forceinline__ int64_t channel(int64_t plane) const {
    return plane - int64_t(channels.quotient(uint32_t(plane))) * channels.divisor;
  }
  __device__ __forceinline__ int64_t set(int64_t plane) const {
    return batch ? channel(plane) : int64_t(group.quotient(uint32_t(plane)));
  }
};

template <int N> int64_t tiles_of(const Rows<N> &rows, const Teams &teams) { return blocks_for(rows.n, TILE * teams.width); }

// Sums over the rows i slots + slot of a matrix, for each slot. A team sums a chunk of rows of a slot, or a part of each of these rows, so
// that even few slots fill the device.
struct Tasks {
  Divider slots;
  int rows;    // rows of a slot
  int share;   // rows of a slot that make a chunk
  int chunks, across;
  Teams teams;

  template <int N> Tasks(const Context &context, const Rows<N> &matrix, int64_t slots)
      : slots(slots), rows(int(matrix.count / slots)), teams(make_teams(matrix, false, PLANE_THREADS)) {
    const int per_block = teams.threads / teams.width;
    const Split down(context, blocks_for(slots, per_block), teams.threads, rows, 1);
    share = int(down.share), chunks = down.parts;
    across = Split(context, blocks_for(slots * chunks, per_block), teams.threads, tiles_of(matrix, teams), 1).parts;
  }
  int parts() const { return chunks * across; }
  Grid grid() const { return {blocks_for(int64_t(slots.divisor) * chunks, teams.threads / teams.width), across}; }

  struct Task { int64_t slot; int chunk, first, end; };
  __device__ __forceinline__ Task task(const Team &team) const {
    const uint32_t number = blockIdx.x * team.count + team.number, chunk = slots.quotient(number);
    return {int64_t(number - chunk * slots.divisor), int(chunk), int(chunk) * share, min(rows, int(chunk + 1) * share)};
  }
  // The index of the team's part of its slot. -1 if it has none, and for all members of the team but the first.
  __device__ __forceinline__ int64_t part(const Team &team, const Task &task) const {
    return team.member == 0 && task.chunk < chunks ? (task.slot * chunks + task.chunk) * across + blockIdx.y : -1;
  }
};

// The grid has blocks along y where there are too few rows to fill the device.
template <int N> Grid grid_of(const Context &context, const Rows<N> &rows, const Teams &teams) {
  const Grid grid = teams.grid();
  return {grid.x, Split(context, grid.x, teams.threads, tiles_of(rows, teams), 1).parts};
}

}  // namespace castor::cuda
