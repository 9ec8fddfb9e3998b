// Rows of float tensors in any layout. A team of threads has a row: it holds the row in registers, or walks along it.
#pragma once
#include <algorithm>
#include "block.h"
#include "element.h"
#include "floats.h"
#include "launch.h"
#include "layout.h"

namespace castor::cuda {

constexpr int TILE = 16;  // elements of a row that a thread has at a time
constexpr int TILE_VECTORS = TILE / VECTOR_WIDTH;

// Stands for an element type that is known only at run time: float, Half or BFloat.
struct Any {};

template <class F> __device__ __forceinline__ void with_any(DType dtype, F f) {
  if (dtype == DType::f32) f(float{});
  else if (dtype == DType::bf16) f(BFloat{});
  else f(Half{});
}

// The element type of an operand of a kernel that computes in T: see Floats.
template <class T> using AnyOf = std::conditional_t<std::is_same_v<T, double>, double, Any>;

// ---- one row --------------------------------------------------------------------------------------------------------------

// A row of an operand with element type S.
template <class S> struct Line {
  char *data;
  int64_t step;  // stride from one element to the next
  DType dtype;

  template <class R> __device__ __forceinline__ Line<R> of() const { return {data, step, dtype}; }
  __device__ __forceinline__ S *elements() const { return reinterpret_cast<S *>(data); }
};

// The elements of a row of n that a thread has: a tile of vectors, repeated as far as the row goes. If packed, the elements of a vector are
// neighbours that are accessed at once. Else neighbouring threads have neighbouring elements, so that the accesses of a warp are close
// together. WHOLE: the row is known to be packed, to consist of whole vectors, and to be held in registers.
template <bool WHOLE> struct Span {
  int start, n;  // `start` is the first element of the team's first member
  int first;
  int width;
  bool packed;

  // `shift` is the number of elements from the last aligned position at or before the row's first element to that element.
  template <class Team> __device__ __forceinline__ Span(const Team &team, int n, bool packed, int shift)
      : start(-shift), n(n), first(team.member * (packed ? VECTOR_WIDTH : 1) - shift), width(team.width), packed(packed) {}

  __device__ __forceinline__ int element(int k, int j) const { return first + k * VECTOR_WIDTH * width + (packed ? j : j * width); }
  __device__ __forceinline__ bool holds(int i) const { return unsigned(i) < unsigned(n); }
  __device__ __forceinline__ bool whole(int k) const {
    if constexpr (WHOLE) return element(k, 0) < n;
    return packed && element(k, 0) >= 0 && element(k, 0) + VECTOR_WIDTH <= n;
  }

  // Whether the thread's element i of a tile belongs to the row.
  __device__ __forceinline__ bool has(int i) const {
    return WHOLE ? element(i / VECTOR_WIDTH, 0) < n : holds(element(i / VECTOR_WIDTH, i % VECTOR_WIDTH));
  }

  // Calls f(span of a tile) for all of the row, or for every step-th tile of it, at the same time in all threads of the team.
  template <class F> __device__ __forceinline__ void each_tile(F f, int begin = 0, int step = 1) const {
    if constexpr (WHOLE) {
      f(*this);
    } else {
      Span s = *this;
      s.start += begin * TILE * width;
      s.first += begin * TILE * width;
      for (; s.start < n; s.start += step * TILE * width, s.first += step * TILE * width) f(s);
    }
  }
};

// A vector of a thread, as it is in memory. Vectors that are loaded before the first is unpacked are in flight together. Elements beyond
// the row have the value `absent`.
template <class T, class S> struct LoadedVector {
  using Wide = Access<S, VECTOR_WIDTH>;
  Wide part[VECTOR_WIDTH / Wide::lanes];

  template <bool WHOLE> __device__ __forceinline__ LoadedVector(const Line<S> &line, const Span<WHOLE> &span, int k, T absent) {
    if (span.whole(k)) {
      const Wide *wide = reinterpret_cast<const Wide *>(line.elements() + span.element(k, 0));
      GPU_UNROLL for (int i = 0; i < VECTOR_WIDTH / Wide::lanes; i++) part[i] = wide[i];
    } else {
      GPU_UNROLL for (int j = 0; j < VECTOR_WIDTH; j++) {
        const int i = span.element(k, j);
        part[j / Wide::lanes].v[j % Wide::lanes] = !WHOLE && span.holds(i) ? line.elements()[i * line.step] : convert<S>(absent);
      }
    }
  }
  __device__ __forceinline__ T operator[](int j) const { return convert<T>(part[j / Wide::lanes].v[j % Wide::lanes]); }
};

template <class T> struct LoadedVector<T, Any> {
  Vector<T> vector;

  template <bool WHOLE> __device__ __forceinline__ LoadedVector(const Line<Any> &line, const Span<WHOLE> &span, int k, T absent) {
    with_any(line.dtype, [&](auto element) {
      using S = decltype(element);
      const LoadedVector<T, S> loaded(line.of<S>(), span, k, absent);
      GPU_UNROLL for (int j = 0; j < VECTOR_WIDTH; j++) vector.v[j] = loaded[j];
    });
  }
  __device__ __forceinline__ T operator[](int j) const { return vector.v[j]; }
};

// The elements of a row that a thread has.
template <class T, class S> struct Loaded {
  LoadedVector<T, S> vector[TILE_VECTORS];

  template <bool WHOLE> __device__ __forceinline__ Loaded(const Line<S> &line, const Span<WHOLE> &span, T absent)
      : vector{{line, span, 0, absent}, {line, span, 1, absent}} {}
  __device__ __forceinline__ T operator[](int i) const { return vector[i / VECTOR_WIDTH][i % VECTOR_WIDTH]; }
};

template <class T> struct Loaded<T, Any> {
  T value[TILE];

  template <bool WHOLE> __device__ __forceinline__ Loaded(const Line<Any> &line, const Span<WHOLE> &span, T absent) {
    with_any(line.dtype, [&](auto element) {
      using S = decltype(element);
      const Loaded<T, S> loaded(line.of<S>(), span, absent);
      GPU_UNROLL for (int i = 0; i < TILE; i++) value[i] = loaded[i];
    });
  }
  __device__ __forceinline__ T operator[](int i) const { return value[i]; }
};

template <class T, class S> __device__ __forceinline__ T load_one(const Line<S> &line, int i) {
  if constexpr (std::is_same_v<S, Any>) return load<T>(line.data, line.dtype, i * line.step);
  else return convert<T>(line.elements()[i * line.step]);
}

template <class T, class S, bool WHOLE>
__device__ __forceinline__ void load_line(T (&x)[TILE], const Line<S> &line, const Span<WHOLE> &span, T absent) {
  const Loaded<T, S> loaded(line, span, absent);
  GPU_UNROLL for (int i = 0; i < TILE; i++) x[i] = loaded[i];
}

template <class T, class S, bool WHOLE>
__device__ __forceinline__ void store_line(const Line<S> &line, const Span<WHOLE> &span, const T (&x)[TILE]) {
  using Wide = Access<S, VECTOR_WIDTH>;
  GPU_UNROLL for (int k = 0; k < TILE_VECTORS; k++) {
    if (span.whole(k)) {
      Wide *wide = reinterpret_cast<Wide *>(line.elements() + span.element(k, 0));
      GPU_UNROLL for (int i = 0; i < VECTOR_WIDTH; i += Wide::lanes) {
        Wide w;
        GPU_UNROLL for (int j = 0; j < Wide::lanes; j++) w.v[j] = convert<S>(x[k * VECTOR_WIDTH + i + j]);
        wide[i / Wide::lanes] = w;
      }
    } else if (!WHOLE) {
      GPU_UNROLL for (int j = 0; j < VECTOR_WIDTH; j++) {
        const int i = span.element(k, j);
        if (span.holds(i)) line.elements()[i * line.step] = convert<S>(x[k * VECTOR_WIDTH + j]);
      }
    }
  }
}
template <class T, bool WHOLE>
__device__ __forceinline__ void store_line(const Line<Any> &line, const Span<WHOLE> &span, const T (&x)[TILE]) {
  with_any(line.dtype, [&](auto element) { store_line(line.of<decltype(element)>(), span, x); });
}

// ---- all rows -------------------------------------------------------------------------------------------------------------

// The rows along one axis of N operands whose other axes have the same sizes. They are numbered in row-major order.
template <int N> struct Rows {
  int64_t count;
  int n;
  bool packed;
  bool aligned;  // every row begins at an aligned position
  bool whole;    // every row also ends at one
  int residue;  // elements from an aligned position to element 0, the same for every operand
  struct Operand {
    char *data;
    int64_t step;
    DType dtype;
    int bytes;  // of an element
  } operand[N];
  Layout<N> layout;  // of the other axes

  template <class S> __device__ __forceinline__ Line<S> line(int k, const int64_t (&offset)[N]) const {
    return {operand[k].data + offset[k] * operand[k].bytes, operand[k].step, operand[k].dtype};
  }
  // The part of a row that a thread has, which is empty if there is no such row.
  template <bool WHOLE, class Team>
  __device__ __forceinline__ Span<WHOLE> span(const Team &team, int64_t row, const int64_t (&offset)[N]) const {
    const bool packs = WHOLE || packed;
    return Span<WHOLE>(team, row < count ? n : 0, packs, packs && !WHOLE ? (residue + int(offset[0])) & (VECTOR_WIDTH - 1) : 0);
  }
};

// The rows of a part of the loop over the other axes.
template <int N> Rows<N> make_rows(const View *const (&views)[N], int axis, const Loop<N> &loop, const int64_t (&offset)[N]) {
  const int64_t n = views[0]->size[axis];
  if (n > MOST_ELEMENTS) fail(CASTOR_SHAPE, "rows of %lld elements are too long", (long long)n);
  Rows<N> rows{elements(loop), int(n), true, true, true, 0, {}, make_layout(loop, loop.rank)};
  for (int k = 0; k < N; k++) {
    const View &v = *views[k];
    rows.operand[k] = {at(v, offset[k]), n == 1 ? 1 : v.stride[axis], v.dtype, int(size_of(v.dtype))};
    const int residue = int(reinterpret_cast<uintptr_t>(rows.operand[k].data) / rows.operand[k].bytes % VECTOR_WIDTH);
    if (k == 0) rows.residue = residue;
    rows.packed = rows.packed && rows.operand[k].step == 1 && residue == rows.residue;
    for (int d = 0; d < loop.rank; d++) rows.packed = rows.packed && (loop.stride[k][d] - loop.stride[0][d]) % VECTOR_WIDTH == 0;
  }
  rows.aligned = rows.packed && rows.residue == 0;
  for (int d = 0; d < loop.rank; d++) rows.aligned = rows.aligned && loop.stride[0][d] % VECTOR_WIDTH == 0;
  rows.whole = rows.aligned && n % VECTOR_WIDTH == 0;
  return rows;
}

template <int N> Loop<N> loop_across(const View *const (&views)[N], int axis) {
  Loop<N> loop;
  for (int d = 0; d < views[0]->rank; d++) {
    int64_t stride[N];
    for (int k = 0; k < N; k++) stride[k] = views[k]->stride[d];
    if (d != axis) append_dimension(loop, views[0]->size[d], stride);
  }
  return loop;
}

// The rows of matrices, which fit in one launch because they fit in memory.
template <int N> Rows<N> rows_of(const View *const (&matrices)[N]) {
  const int64_t none[N] = {};
  return make_rows(matrices, 1, loop_across(matrices, 1), none);
}

// Calls f with the rows along an axis, in as many parts as are needed.
template <int N, class F> void for_rows(const View *const (&views)[N], int axis, F f) {
  for_each_part(loop_across(views, axis),
                [&](const Loop<N> &part, const int64_t (&offset)[N], int64_t) { f(make_rows(views, axis, part, offset)); });
}

template <int N> bool same_dtype(const Rows<N> &rows) {
  return std::all_of(rows.operand, rows.operand + N, [&](const auto &operand) { return operand.dtype == rows.operand[0].dtype; });
}

// Whether neighbouring rows are closer together in memory than the elements of a row. Then SideTeams read them across.
template <int N> bool side_by_side(const Rows<N> &rows) {
  const int inner = rows.layout.rank - 1;
  if (inner < 0 || rows.layout.size[inner].divisor < 8) return false;
  for (int k : {0, N - 1})
    if (std::abs(rows.layout.stride[k][inner]) >= std::abs(rows.operand[k].step)) return false;
  return true;
}

// The distribution of the rows over teams.
struct Teams {
  int threads, width;
  bool held;  // whether the registers of a team hold a row
  int64_t count;

  Grid grid() const { return blocks_for(count, threads / width); }
};

template <int N> Teams make_teams(const Rows<N> &rows, bool side = false, int limit = MOST_THREADS<float>) {
  const int64_t wanted = blocks_for(rows.n + (rows.packed && !rows.aligned ? VECTOR_WIDTH - 1 : 0), TILE);
  if (rows.operand[0].dtype == DType::f64) limit = MOST_THREADS<double>;
  Teams teams{std::min(block_threads(wanted <= 256 || side ? 256 : limit), limit), 1, false, rows.count};
  const int most = side ? teams.threads / 32 : teams.threads;
  while (teams.width < wanted && teams.width * 2 <= most) teams.width *= 2;
  teams.threads -= teams.threads % (side ? 32 * teams.width : teams.width);
  teams.held = teams.width >= wanted;
  return teams;
}

// One value for each row.
template <class T> struct Column {
  T *data;  // null if absent
  int64_t stride;

  __device__ __forceinline__ T &operator[](int64_t row) const { return data[row * stride]; }
};

template <class T> Column<T> column(const View *v) { return v ? Column<T>{v->as<T>(), v->stride[0]} : Column<T>{nullptr, 0}; }

}  // namespace castor::cuda
