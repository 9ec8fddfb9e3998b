// gather and indexSelect, and their mirror images scatter, scatterAdd, indexCopy and indexAdd. All indices are checked before anything is
// written. Elements that are added to one position are added in a fixed order.
#include <atomic>
#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "../kernels/table.h"
#include "rows.h"

namespace castor::CASTOR_ISA {
namespace {

int64_t wrapped(int64_t index, int64_t size) { return index < 0 ? index + size : index; }

[[noreturn]] void fail_at(const View &index, const Loop<1> &loop, int axis, int64_t size) {
  int64_t position = 0;
  for_runs(loop, 0, index.numel(), 1, [&](const int64_t *offset, int64_t) {
    const int64_t i = load_one<int64_t>(index, offset[0]);
    if (i < -size || i >= size)
      fail(CASTOR_INDEX, "index %lld at position %lld is outside axis %d of size %lld", (long long)i, (long long)position, axis,
           (long long)size);
    position++;
  });
  fail(CASTOR_INTERNAL, "an index changed while it was read");
}

// Fails at the first index outside [-size, size), before anything is written.
void check_index(const View &index, int axis, int64_t size) {
  Loop<1> loop;
  for (int d = 0; d < index.rank; d++) append_dimension(loop, index.size[d], {index.stride[d]});
  std::atomic<bool> bad{false};
  parallel_for(index.numel(), GRAIN, [&](int64_t begin, int64_t end) {
    for_runs(loop, begin, end, TILE, [&](const int64_t *offset, int64_t n) {
      int64_t scratch[TILE], outside = 0;
      const int64_t *at_index = open_run(scratch, index, offset[0], loop.inner_stride(0), n);
      for (int64_t i = 0; i < n; i++) outside |= (at_index[i] < -size) | (at_index[i] >= size);
      if (outside) bad.store(true, std::memory_order_relaxed);
    });
  });
  if (bad) fail_at(index, loop, axis, size);
}

// The stride of dimension d of an index, in elements, for an index with all axes of the tensor or with only the one that it selects along.
int64_t index_stride(const View &index, bool along_one, int axis, int d) {
  if (!along_one) return index.stride[d];
  return d == axis ? index.stride[0] : 0;
}

// ---- gather ------------------------------------------------------------------------------------------------------

template <class F> void with_bytes(DType d, F f) {
  switch (size_of(d)) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    default: return f(uint64_t{});
  }
}

struct Pick { int64_t size, stride; };  // size and stride of the axis that elements are selected from

// The operands are out, a and index. Where the index is the same along the run, the whole run is copied.
template <class E, class I> void gather_run(E *to, const E *from, const I *index, const int64_t *step, Pick pick, int64_t n) {
  if (step[2] == 0) from += wrapped(*index, pick.size) * pick.stride;
  if (step[2] == 0 && step[0] == 1 && step[1] == 1) memcpy(to, from, n * sizeof(E));
  else if (step[2] == 0)
    for (int64_t i = 0; i < n; i++) to[i * step[0]] = from[i * step[1]];
  else
    for (int64_t i = 0; i < n; i++) to[i * step[0]] = from[i * step[1] + wrapped(index[i * step[2]], pick.size) * pick.stride];
}

template <class I> void gather_all(const Loop<3> &loop, const View &a, const View &index, const View &out, Pick pick) {
  const int64_t step[] = {loop.inner_stride(0), loop.inner_stride(1), loop.inner_stride(2)};
  with_bytes(out.dtype, [&](auto unit) {
    using E = decltype(unit);
    parallel_for(out.numel(), GRAIN, [&](int64_t begin, int64_t end) {
      for_runs(loop, begin, end, end - begin, [&](const int64_t *offset, int64_t n) {
        gather_run(out.as<E>() + offset[0], a.as<E>() + offset[1], index.as<I>() + offset[2], step, pick, n);
      });
    });
  });
}

// ---- scatter -----------------------------------------------------------------------------------------------------

// Lines along the axis are independent of each other. The elements of one line are processed in order. The operands are out, index and
// source.
struct Lines {
  const View *view[3];
  Loop<3> loop;
  int64_t step[3];  // strides along the axis
  int64_t size, n;  // size of the axis of out, number of indices along it

  Lines(const View &out, const View &index, const View &source, int axis, bool along_one) : view{&out, &index, &source} {
    auto stride = [&](int k, int d) { return k == 1 ? index_stride(index, along_one, axis, d) : view[k]->rank ? view[k]->stride[d] : 0; };
    for (int k = 0; k < 3; k++) step[k] = stride(k, axis);
    size = out.size[axis];
    n = index.size[along_one ? 0 : axis];
    const View &shape = along_one ? out : index;
    for (int d = 0; d < out.rank; d++)
      if (d != axis) append_dimension(loop, shape.size[d], {stride(0, d), stride(1, d), stride(2, d)});
  }

  // Calls f(place, value, n) for the tiles of a line: n values, and for each its offset from the line's first element.
  template <class T, class F> void tiles(const int64_t *offset, F f) const {
    for (int64_t begin = 0; begin < n; begin += TILE) {
      int64_t place[TILE];
      T scratch[TILE];
      const int64_t count = std::min<int64_t>(TILE, n - begin);
      load_run(place, *view[1], offset[1] + begin * step[1], step[1], count);
      for (int64_t i = 0; i < count; i++) place[i] = wrapped(place[i], size);
      f(place, open_run(scratch, *view[2], offset[2] + begin * step[2], step[2], count), count);
    }
  }
};

template <class S> constexpr bool is_narrow = std::is_same_v<S, Half> || std::is_same_v<S, BFloat>;

template <class T, class S> void put_line(const Lines &lines, S *out, const int64_t *offset) {
  lines.tiles<T>(offset, [&](const int64_t *place, const T *value, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[place[i] * lines.step[0]] = convert<S>(value[i]);
  });
}

template <class T, class S> void add_line(const Lines &lines, S *out, const int64_t *offset) {
  lines.tiles<T>(offset, [&](const int64_t *place, const T *value, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
      S &to = out[place[i] * lines.step[0]];
      to = convert<S>(m::add(convert<T>(to), value[i]));
    }
  });
}

// Sums of 16-bit elements are kept in T and rounded once. Only the elements that an index names are written.
template <class T, class S> void add_narrow_line(const Lines &lines, S *out, const int64_t *offset, T *sums) {
  const int64_t step = lines.step[0];
  lines.tiles<T>(offset, [&](const int64_t *place, const T *, int64_t n) {
    for (int64_t i = 0; i < n; i++) sums[place[i]] = convert<T>(out[place[i] * step]);
  });
  lines.tiles<T>(offset, [&](const int64_t *place, const T *value, int64_t n) {
    for (int64_t i = 0; i < n; i++) sums[place[i]] += value[i];
  });
  lines.tiles<T>(offset, [&](const int64_t *place, const T *, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[place[i] * step] = convert<S>(sums[place[i]]);
  });
}

template <class T, class S> void scatter_lines(const Lines &lines, bool add) {
  const int64_t count = lines.loop.outer() * lines.loop.inner();
  parallel_for(count, std::max<int64_t>(1, GRAIN / std::max<int64_t>(1, lines.n)), [&](int64_t begin, int64_t end) {
    Scratch<T> sums(is_narrow<S> && add ? lines.size : 0);
    for_runs(lines.loop, begin, end, 1, [&](const int64_t *offset, int64_t) {
      S *out = lines.view[0]->as<S>() + offset[0];
      if (!add) return put_line<T>(lines, out, offset);
      if constexpr (is_narrow<S>) add_narrow_line<T>(lines, out, offset, sums);
      else add_line<T>(lines, out, offset);
    });
  });
}

// Slices of out across the axis. For each, a linked list of the slices of source that go into it, in order: head[slice] is the first,
// next[i] the one after i.
struct Chains {
  static constexpr int64_t END = -1;
  Scratch<int64_t> head, next;

  Chains(const View &index, int64_t size, bool last_only) : head(size), next(index.size[0]) {
    std::fill_n(+head, size, END);
    load_run<int64_t>(next, index, 0, index.stride[0], index.size[0]);
    for (int64_t j = index.size[0] - 1; j >= 0; j--) {
      const int64_t slice = wrapped(next[j], size);
      next[j] = last_only ? END : head[slice];
      if (!last_only || head[slice] == END) head[slice] = j;
    }
  }
};

template <class T> void scatter_slices(const View &out, const View &index, const View &source, int axis, bool add) {
  Loop<2> slice;
  for (int d = 0; d < out.rank; d++)
    if (d != axis) append_dimension(slice, out.size[d], {out.stride[d], source.stride[d]});
  const Chains chains(index, out.size[axis], !add);
  const int64_t elements = slice.outer() * slice.inner(), to_step = slice.inner_stride(0), from_step = slice.inner_stride(1);
  auto slice_run = [&](int64_t s, const int64_t *offset, int64_t n) {
    T to_scratch[TILE], from_scratch[TILE];
    const int64_t to_offset = offset[0] + s * out.stride[axis];
    T *to = open_run(to_scratch, out, to_offset, to_step, n);
    for (int64_t j = chains.head[s]; j != Chains::END; j = chains.next[j]) {
      const T *from = open_run(from_scratch, source, offset[1] + j * source.stride[axis], from_step, n);
      CASTOR_IVDEP
      for (int64_t i = 0; i < n; i++) to[i] = add ? m::add(to[i], from[i]) : from[i];
    }
    close_run(to, to_scratch, out, to_offset, to_step, n);
  };
  parallel_for(out.size[axis], std::max<int64_t>(1, GRAIN / std::max<int64_t>(1, elements)), [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; s++)
      if (chains.head[s] != Chains::END)
        for_runs(slice, 0, elements, TILE, [&](const int64_t *offset, int64_t n) { slice_run(s, offset, n); });
  });
}

// Whether elements across the axis are closer together in memory than elements along it.
bool has_slices(const View &out, int axis) {
  for (int d = 0; d < out.rank; d++)
    if (d != axis && out.size[d] > 1 && std::abs(out.stride[d]) < std::abs(out.stride[axis])) return true;
  return false;
}

}  // namespace

void gather(int op, const View &a, const View &index, const View &out, int axis) {
  const Pick pick{a.size[axis], a.stride[axis]};
  check_index(index, axis, pick.size);
  const bool along_one = Gather(op) == Gather::indexSelect;
  Loop<3> loop;
  for (int d = 0; d < out.rank; d++)
    append_dimension(loop, out.size[d], {out.stride[d], d == axis ? 0 : a.stride[d], index_stride(index, along_one, axis, d)});
  const auto all = index.dtype == DType::i32 ? gather_all<int32_t> : gather_all<int64_t>;
  all(loop, a, index, out, pick);
}

void scatter(int op, const View &out, const View &index, const View &source, int axis) {
  const bool add = Scatter(op) == Scatter::scatterAdd || Scatter(op) == Scatter::indexAdd;
  const bool along_one = Scatter(op) == Scatter::indexCopy || Scatter(op) == Scatter::indexAdd;
  check_index(index, axis, out.size[axis]);
  with_compute_type(is_float(out.dtype) ? compute_type(out.dtype, source.dtype) : DType::i64, [&](auto zero) {
    using T = decltype(zero);
    if (along_one && has_slices(out, axis)) return scatter_slices<T>(out, index, source, axis, add);
    const Lines lines(out, index, source, axis, along_one);
    with_dtype(out.dtype, [&](auto element) { scatter_lines<T, decltype(element)>(lines, add); });
  });
}

}  // namespace castor::CASTOR_ISA
