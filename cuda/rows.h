// Rows of float tensors in any layout. A team of threads takes a row: it holds the row in registers, or walks along it.
#pragma once
#include <algorithm>
#include <optional>
#include "../kernels/table.h"
#include "block.h"
#include "element.h"
#include "launch.h"
#include "layout.h"

namespace castor::cuda {

constexpr int TILE = 16;  // elements of a row that a thread takes at a time
constexpr int TILE_PACKETS = TILE / PACKET;

// An element type that is known at run time only: float, Half or BFloat.
struct Any {};

template <class F> __device__ __forceinline__ void with_any(DType dtype, F f) {
  if (dtype == DType::f32) f(float{});
  else if (dtype == DType::bf16) f(BFloat{});
  else f(Half{});
}

// ---- one row --------------------------------------------------------------------------------------------------------------

// A row of an operand, of element type S.
template <class S> struct Line {
  char *data;
  int64_t step;  // from one element to the next
  DType dtype;

  template <class R> __device__ __forceinline__ Line<R> of() const { return {data, step, dtype}; }
  __device__ __forceinline__ S *elements() const { return reinterpret_cast<S *>(data); }
};

// Which elements of a row of n a thread takes: a tile of packets, as far as the row goes. Packed, a packet's elements are neighbours
// that are accessed at once; else the threads' elements are, so that a warp's accesses lie close together. WHOLE: known to be
// packed, every row of whole packets.
template <bool WHOLE> struct Span {
  int start, n;  // `start` belongs to the team's first member
  int first;
  int width;
  bool packed;

  // `shift` elements lie between the row's first and the last place before it that a packet may begin at.
  template <class Team> __device__ __forceinline__ Span(const Team &team, int n, bool packed, int shift)
      : start(-shift), n(n), first(team.member * (packed ? PACKET : 1) - shift), width(team.width), packed(packed) {}

  __device__ __forceinline__ int element(int k, int j) const { return first + k * PACKET * width + (packed ? j : j * width); }
  __device__ __forceinline__ bool holds(int i) const { return unsigned(i) < unsigned(n); }
  __device__ __forceinline__ bool whole(int k) const {
    if constexpr (WHOLE) return element(k, 0) < n;
    return packed && element(k, 0) >= 0 && element(k, 0) + PACKET <= n;
  }

  // For walks: whether the team has elements left, and on to its next ones.
  __device__ __forceinline__ bool more() const { return start < n; }
  __device__ __forceinline__ void advance() {
    start += TILE * width;
    first += TILE * width;
  }
};

// A thread's elements as they lie in memory. What is loaded before it is unpacked is in flight together.
template <class T, class S> struct Loaded {
  using Wide = Access<S, PACKET>;
  static constexpr int LANES = Wide::lanes, PARTS = PACKET / LANES;
  Wide part[TILE_PACKETS][PARTS];

  // `absent` stands for what is beyond the row.
  template <bool WHOLE> __device__ __forceinline__ Loaded(const Line<S> &line, const Span<WHOLE> &span, T absent) {
    GPU_UNROLL for (int k = 0; k < TILE_PACKETS; k++) {
      if (span.whole(k)) {
        const Wide *wide = reinterpret_cast<const Wide *>(line.elements() + span.element(k, 0));
        GPU_UNROLL for (int i = 0; i < PARTS; i++) part[k][i] = wide[i];
      } else {
        GPU_UNROLL for (int j = 0; j < PACKET; j++) {
          const int i = span.element(k, j);
          part[k][j / LANES].v[j % LANES] = !WHOLE && span.holds(i) ? line.elements()[i * line.step] : convert<S>(absent);
        }
      }
    }
  }
  __device__ __forceinline__ void unpack(T (&x)[TILE]) const {
    GPU_UNROLL for (int i = 0; i < TILE; i++) x[i] = convert<T>(part[i / PACKET][i % PACKET / LANES].v[i % LANES]);
  }
};

template <class T> struct Loaded<T, Any> {
  T value[TILE];

  template <bool WHOLE> __device__ __forceinline__ Loaded(const Line<Any> &line, const Span<WHOLE> &span, T absent) {
    with_any(line.dtype, [&](auto element) {
      using S = decltype(element);
      Loaded<T, S>(line.of<S>(), span, absent).unpack(value);
    });
  }
  __device__ __forceinline__ void unpack(T (&x)[TILE]) const {
    GPU_UNROLL for (int i = 0; i < TILE; i++) x[i] = value[i];
  }
};

template <class T, class S, bool WHOLE>
__device__ __forceinline__ void load_line(T (&x)[TILE], const Line<S> &line, const Span<WHOLE> &span, T absent) {
  Loaded<T, S>(line, span, absent).unpack(x);
}

template <class T, class S, bool WHOLE>
__device__ __forceinline__ void store_line(const Line<S> &line, const Span<WHOLE> &span, const T (&x)[TILE]) {
  using Memory = Loaded<T, S>;
  GPU_UNROLL for (int k = 0; k < TILE_PACKETS; k++) {
    if (span.whole(k)) {
      auto *wide = reinterpret_cast<typename Memory::Wide *>(line.elements() + span.element(k, 0));
      GPU_UNROLL for (int i = 0; i < Memory::PARTS; i++) {
        typename Memory::Wide w;
        GPU_UNROLL for (int j = 0; j < Memory::LANES; j++) w.v[j] = convert<S>(x[k * PACKET + i * Memory::LANES + j]);
        wide[i] = w;
      }
    } else if (!WHOLE) {
      GPU_UNROLL for (int j = 0; j < PACKET; j++) {
        const int i = span.element(k, j);
        if (span.holds(i)) line.elements()[i * line.step] = convert<S>(x[k * PACKET + j]);
      }
    }
  }
}
template <class T, bool WHOLE> __device__ __forceinline__ void store_line(const Line<Any> &line, const Span<WHOLE> &span, const T (&x)[TILE]) {
  with_any(line.dtype, [&](auto element) { store_line(line.of<decltype(element)>(), span, x); });
}

// ---- all rows -------------------------------------------------------------------------------------------------------------

// The rows along one axis of N operands that have the same sizes elsewhere. They are numbered in row-major order.
template <int N> struct Rows {
  int64_t count;
  int n;
  bool packed;
  bool whole;   // every row begins where a packet may, and ends where one does
  int residue;  // elements from where a packet may begin to element 0 of every operand
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
  // What a thread takes of a row: nothing, if there is no such row.
  template <bool WHOLE, class Team> __device__ __forceinline__ Span<WHOLE> span(const Team &team, int64_t row, const int64_t (&offset)[N]) const {
    const bool packs = WHOLE || packed;
    return Span<WHOLE>(team, row < count ? n : 0, packs, packs && !WHOLE ? (residue + int(offset[0])) & (PACKET - 1) : 0);
  }
};

// Of a part of the loop over the other axes.
template <int N> Rows<N> make_rows(const View *const (&views)[N], int axis, const Loop<N> &loop, const int64_t (&offset)[N]) {
  const int64_t n = views[0]->size[axis];
  if (n > MOST_ELEMENTS) fail(CASTOR_SHAPE, "rows of %lld elements are too long", (long long)n);
  Rows<N> rows{elements(loop), int(n), true, true, 0, {}, make_layout(loop, loop.rank)};
  for (int k = 0; k < N; k++) {
    const View &v = *views[k];
    rows.operand[k] = {at(v, offset[k]), n == 1 ? 1 : v.stride[axis], v.dtype, int(size_of(v.dtype))};
    const int residue = int(reinterpret_cast<uintptr_t>(rows.operand[k].data) / rows.operand[k].bytes % PACKET);
    if (k == 0) rows.residue = residue;
    rows.packed = rows.packed && rows.operand[k].step == 1 && residue == rows.residue;
    for (int d = 0; d < loop.rank; d++) rows.packed = rows.packed && (loop.stride[k][d] - loop.stride[0][d]) % PACKET == 0;
  }
  rows.whole = rows.packed && rows.residue == 0 && n % PACKET == 0;
  for (int d = 0; d < loop.rank; d++) rows.whole = rows.whole && loop.stride[0][d] % PACKET == 0;
  return rows;
}

// Calls f with the rows along an axis, as often as it takes.
template <int N, class F> void for_rows(const View *const (&views)[N], int axis, F f) {
  Loop<N> loop;
  for (int d = 0; d < views[0]->rank; d++) {
    int64_t stride[N];
    for (int k = 0; k < N; k++) stride[k] = views[k]->stride[d];
    if (d != axis) append_dimension(loop, views[0]->size[d], stride);
  }
  for_each_part(loop, [&](const Loop<N> &part, const int64_t (&offset)[N], int64_t) { f(make_rows(views, axis, part, offset)); });
}

template <int N> bool same_dtype(const Rows<N> &rows) {
  return std::all_of(rows.operand, rows.operand + N, [&](const auto &operand) { return operand.dtype == rows.operand[0].dtype; });
}

// Whether rows lie side by side, so that memory is better walked across them: to be taken by SideTeams.
template <int N> bool side_by_side(const Rows<N> &rows) {
  const int inner = rows.layout.rank - 1;
  if (inner < 0 || rows.layout.size[inner].divisor < 8) return false;
  for (int k : {0, N - 1})
    if (std::abs(rows.layout.stride[k][inner]) >= std::abs(rows.operand[k].step)) return false;
  return true;
}

// How the rows are shared out.
struct Teams {
  int threads, width;
  bool held;  // whether a team's registers hold a row
  int64_t count;

  dim3 grid() const { return dim3(unsigned(blocks_for(count, threads / width))); }
};

template <int N> Teams make_teams(const Rows<N> &rows, bool side) {
  const int64_t wanted = blocks_for(rows.n + (rows.packed && !rows.whole ? PACKET - 1 : 0), TILE);
  const int limit = rows.operand[0].dtype == DType::f64 ? MOST_THREADS<double> : MOST_THREADS<float>;
  Teams teams{std::min(block_threads(wanted <= 256 || side ? 256 : limit), limit), 1, false, rows.count};
  const int most = side ? teams.threads / 32 : teams.threads;
  while (teams.width < wanted && teams.width * 2 <= most) teams.width *= 2;
  teams.threads -= teams.threads % (side ? 32 * teams.width : teams.width);
  teams.held = teams.width >= wanted;
  return teams;
}

// ---- what the kernels do not take as it is ----------------------------------------------------------------------------------

// A view as rows kernels take it: of float64 if that is the arithmetic's type, else of another float dtype. Others are copied.
class Floats {
 public:
  Floats(const View &view, DType compute) : of_(view) {
    if (!view.constant && is_float(view.dtype) && (view.dtype == DType::f64) == (compute == DType::f64)) return;
    copy_.dtype = compute == DType::f64 ? DType::f64 : DType::f32;
    copy_.rank = view.rank;
    copy_.device = view.device;
    int64_t stride = 1;
    for (int i = view.rank - 1; i >= 0; stride *= view.size[i--]) {
      copy_.size[i] = view.size[i];
      copy_.stride[i] = stride;
    }
    memory_.emplace(context_of(view), stride * size_of(copy_.dtype));
    copy_.data = memory_->as<void>();
  }
  const View &view() const { return memory_ ? copy_ : of_; }
  void read() { if (memory_) copy(of_, copy_); }
  void write() { if (memory_) copy(copy_, of_); }

 private:
  const View &of_;
  View copy_;
  std::optional<Scratch> memory_;
};

}  // namespace castor::cuda
