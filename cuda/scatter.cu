// Writes elements to positions of out that may repeat. Lines along the axis are independent of each other. Within a line, the result is
// that of a loop over the elements: the last one of those with the same position remains, and sums are added in order. To this end, one
// element of those that share a position (the first, or the last) computes the result for all of them. In short lines it finds the others
// by reading all positions. In long lines they are neighbours, because the positions, with the numbers of their elements, were sorted.
#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "../kernels/table.h"
#include "index.h"
#include "layout.h"
#include "merge_sort.h"
#include "pack.h"
#include "resident.h"
#include "split.h"

namespace castor::cuda {
namespace {

constexpr int64_t SHORT_LINE = 32;

// The operands of the lines are out, index and source. A thread has V lines that are neighbours in out and in source.
struct Scattering {
  char *out;
  DType dtype;
  Operand source;
  Index index;
  Layout<3> lines;
  int64_t count, n, step[3];  // lines; elements of a line; strides along the axis
  bool add, shared;           // shared: all lines have the same positions
  bool across;                // neighbouring threads have neighbouring lines, else neighbouring elements of a line
  uint32_t lanes, tiles;      // threads across a block, blocks across

  // Finds the line and the element of a thread. Returns false if it has none.
  __device__ __forceinline__ bool assign(int64_t &line, int64_t &i) const {
    const int64_t fast = int64_t(blockIdx.x % tiles) * lanes + threadIdx.x % lanes;
    const int64_t slow = int64_t(blockIdx.x / tiles) * (blockDim.x / lanes) + threadIdx.x / lanes;
    line = across ? fast : slow;
    i = across ? slow : fast;
    return line < count && i < n;
  }
};

// value[k] = the V elements of source at place[k] where k is valid, else 0.
template <class T, int N, int V>
__device__ __forceinline__ void load_source(const Operand &source, const int64_t (&place)[N], uint32_t valid, T (&value)[N][V]) {
  if (!source.data) {
    const T constant = source.constant<T>();
    GPU_UNROLL for (int k = 0; k < N; k++)
      GPU_UNROLL for (int j = 0; j < V; j++) value[k][j] = constant;
    return;
  }
  with_device_dtype(source.dtype, [&](auto element) {
    using S = decltype(element);
    Pack<S, V> raw[N];
    const S *from = reinterpret_cast<const S *>(source.data);
    GPU_UNROLL for (int k = 0; k < N; k++)
      raw[k] = valid >> k & 1 ? *reinterpret_cast<const Pack<S, V> *>(from + place[k]) : Pack<S, V>{};
    GPU_UNROLL for (int k = 0; k < N; k++)
      GPU_UNROLL for (int j = 0; j < V; j++) value[k][j] = convert<T>(raw[k].v[j]);
  });
}

template <class T, int V> __device__ __forceinline__ void load_out(const Scattering &s, int64_t place, T (&value)[V]) {
  with_device_dtype(s.dtype, [&](auto element) {
    using S = decltype(element);
    const Pack<S, V> raw = *reinterpret_cast<const Pack<S, V> *>(reinterpret_cast<const S *>(s.out) + place);
    GPU_UNROLL for (int j = 0; j < V; j++) value[j] = convert<T>(raw.v[j]);
  });
}

template <class T, int V> __device__ __forceinline__ void store_out(const Scattering &s, int64_t place, const T (&value)[V]) {
  with_device_dtype(s.dtype, [&](auto element) {
    using S = decltype(element);
    Pack<S, V> raw;
    GPU_UNROLL for (int j = 0; j < V; j++) raw.v[j] = convert<S>(value[j]);
    *reinterpret_cast<Pack<S, V> *>(reinterpret_cast<S *>(s.out) + place) = raw;
  });
}

template <class T> __global__ void __launch_bounds__(512, 1) scatter_short(const __grid_constant__ Scattering s) {
  int64_t line, i, offset[3];
  if (!s.assign(line, i)) return;
  s.lines.offsets(uint32_t(line), offset);
  const auto place_of = [&](int64_t k) { return s.index.at(offset[1] + k * s.step[1]); };
  const int64_t own = place_of(i), to = offset[0] + own * s.step[0];
  for (int64_t k = s.add ? 0 : i + 1; k < (s.add ? i : s.n); k++)
    if (place_of(k) == own) return;
  T sum[1] = {}, value[1][1] = {};
  if (s.add) load_out(s, to, sum);
  for (int64_t k = i; k < (s.add ? s.n : i + 1); k++) {
    if (k > i && place_of(k) != own) continue;
    const int64_t from[1] = {offset[2] + k * s.step[2]};
    load_source(s.source, from, 1, value);
    sum[0] = s.add ? m::add(sum[0], value[0][0]) : value[0][0];
  }
  store_out(s, to, sum);
}

// sorted is (lines, n), or (n) if all lines have the same positions.
template <class T, int V>
__global__ void __launch_bounds__(512, 1) scatter_sorted(const __grid_constant__ Scattering s, const Short *sorted) {
  constexpr int UNDER_WAY = 32 / sizeof(T);
  int64_t line, i, offset[3];
  if (!s.assign(line, i)) return;
  if (!s.shared) sorted += line * s.n;
  const uint32_t own = sorted[i].key();
  const int64_t other = s.add ? i - 1 : i + 1;
  if (other >= 0 && other < s.n && sorted[other].key() == own) return;
  s.lines.offsets(uint32_t(line), offset);
  const int64_t to = offset[0] + own * s.step[0];
  T sum[V] = {};
  if (s.add) load_out(s, to, sum);
  for (bool more = true; more; i += UNDER_WAY) {
    int64_t from[UNDER_WAY];
    uint32_t valid = 0;
    GPU_UNROLL for (int k = 0; k < UNDER_WAY; k++) {
      const Short item = i + k < s.n ? sorted[i + k] : Short::end();
      from[k] = offset[2] + item.index() * s.step[2];
      valid |= uint32_t(item.key() == own && i + k < s.n) << k;
    }
    T value[UNDER_WAY][V];
    load_source(s.source, from, valid, value);
    GPU_UNROLL for (int k = 0; k < UNDER_WAY; k++)
      GPU_UNROLL for (int j = 0; j < V; j++)
        if (valid >> k & 1) sum[j] = s.add ? m::add(sum[j], value[k][j]) : value[k][j];
    more = s.add && valid >> (UNDER_WAY - 1) & 1;
  }
  store_out(s, to, sum);
}

// The positions of the elements of each line.
struct Places {
  Index index;
  Layout<1> lines;
  int64_t n, step;

  __device__ __forceinline__ void load(uint32_t line, int64_t first, Short (&x)[ITEMS]) const {
    int64_t offset[1], raw[ITEMS];
    lines.offsets(line, offset);
    GPU_UNROLL for (int k = 0; k < ITEMS; k++)
      if (const int64_t i = first + k * blockDim.x; i < n) raw[k] = index.raw(offset[0] + i * step);
    GPU_UNROLL for (int k = 0; k < ITEMS; k++) {
      const int64_t i = first + k * blockDim.x;
      x[k] = i < n ? Short::of(uint32_t(index.checked(raw[k])), uint32_t(i)) : Short::end();
    }
  }
  __device__ __forceinline__ void finish(uint32_t, int64_t, int64_t, const Short (&)[ITEMS]) const {}
};

constexpr int VECTOR = 4;  // lines of a thread

// Whether VECTOR elements can be accessed at once everywhere in the lines.
bool vectors(const Loop<3> &lines, const Scattering &s) {
  const int last = lines.rank - 1;
  if (last < 0 || !s.shared || !s.source.data || lines.stride[0][last] != 1 || lines.stride[2][last] != 1) return false;
  int64_t steps = lines.size[last] | s.step[0] | s.step[2];
  for (int d = 0; d < last; d++) steps |= lines.stride[0][d] | lines.stride[2][d];
  const auto aligned = [](const void *data, DType dtype) {
    return reinterpret_cast<uintptr_t>(data) % std::min<int64_t>(16, VECTOR * size_of(dtype)) == 0;
  };
  return steps % VECTOR == 0 && aligned(s.out, s.dtype) && aligned(s.source.data, s.source.dtype);
}

template <class... P, class... A>
void launch_over(Context &context, void (*kernel)(Scattering, P...), Scattering s, const Loop<3> &lines, A &&...more) {
  s.lines = make_layout(lines, lines.rank);
  s.count = elements(lines);
  const int threads = block_threads(256);
  const int64_t fast = s.across ? s.count : s.n, slow = s.across ? s.n : s.count;
  s.lanes = uint32_t(lanes_for(fast, threads));
  s.tiles = uint32_t(blocks_for(fast, s.lanes));
  const int64_t blocks = s.tiles * blocks_for(slow, threads / s.lanes);
  launch(context, "scatter", kernel, blocks, threads, 0, s, std::forward<A>(more)...);
}

template <class T> void scatter_long(Context &context, const Scattering &s, const Loop<3> &lines) {
  for (const int64_t positions : {s.index.size, s.n})
    if (positions >= UINT32_MAX)
      fail(CASTOR_SHAPE, "an axis of %lld elements is too long to write to many positions of it", (long long)positions);
  Loop<1> indices;
  for (int d = 0; d < lines.rank && !s.shared; d++) append_dimension(indices, lines.size[d], {lines.stride[1][d]});
  MergeSort<Short> sort(context, elements(indices), s.n, s.n, false);
  const Short *sorted = sort.run("scatter", Places{s.index, make_layout(indices, indices.rank), s.n, s.step[1]});
  if (!vectors(lines, s)) return launch_over(context, scatter_sorted<T, 1>, s, lines, sorted);
  Loop<3> packs = lines;
  packs.size[packs.rank - 1] /= VECTOR;
  for (auto &stride : packs.stride) stride[packs.rank - 1] *= VECTOR;
  launch_over(context, scatter_sorted<T, VECTOR>, s, packs, sorted);
}

}  // namespace

void scatter(int op, const View &out, const View &given_index, const View &source, int axis) {
  Context &context = context_of(out);
  const Resident resident(context, given_index);
  const View &index = resident;
  const bool add = Scatter(op) == Scatter::scatterAdd || Scatter(op) == Scatter::indexAdd;
  const bool along_one = Scatter(op) == Scatter::indexCopy || Scatter(op) == Scatter::indexAdd;
  const View &shape = along_one ? out : index;
  const auto stride = [&](int k, int d) {
    return k == 0 ? out.stride[d] : k == 1 ? index_stride(index, along_one, axis, d) : source.rank ? source.stride[d] : 0;
  };
  Loop<3> lines;
  bool shared = true, across = false;
  for (int d = 0; d < out.rank; d++) {
    if (d == axis) continue;
    append_dimension(lines, shape.size[d], {stride(0, d), stride(1, d), stride(2, d)});
    shared &= shape.size[d] == 1 || stride(1, d) == 0;
    across |= shape.size[d] > 1 && std::abs(stride(0, d)) < std::abs(stride(0, axis));
  }
  const int64_t n = index.size[along_one ? 0 : axis];
  if (n == 0 || elements(lines) == 0) return;
  const Index places(context, index, out.size[axis], site_of(Scatter(op)));
  const Scattering s{out.as<char>(), out.dtype, operand(source), places, {}, 0, n, {stride(0, axis), stride(1, axis), stride(2, axis)},
                     add,            shared,    across,          0,      0};
  with_compute_type(is_float(out.dtype) ? compute_type(out.dtype, source.dtype) : DType::i64, [&](auto zero) {
    using T = decltype(zero);
    if (s.n <= SHORT_LINE) launch_over(context, scatter_short<T>, s, lines);
    else scatter_long<T>(context, s, lines);
  });
}

}  // namespace castor::cuda
