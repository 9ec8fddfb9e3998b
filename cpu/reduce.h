// The engine of reductions: it decides over which axes they run, in which order memory is read, and what runs in parallel. The ops
// themselves are in reduce.cpp.
#pragma once
#include "fold.h"
#include "rows.h"

namespace castor::CASTOR_ISA {

constexpr int64_t PARTS = 256;  // the largest number of parts of a split reduction, since each has a state in memory
constexpr int LINES = 4;          // lines that are taken together where the inner loop runs over outputs
constexpr int64_t BLOCKS = 32;  // blocks of outputs, so many that a reduction need not be split

struct Reduction {
  const View &a, &out;
  Loop<2> kept;     // dimensions of the outputs: strides of a, of out
  Loop<1> reduced;  // dimensions that are reduced: strides of a
  int64_t outputs = 1, count = 1;
  bool columns;     // the inner loop runs over outputs, for one reduced position after the other

  Reduction(const View &a, const View &out, uint32_t axes, bool keep_order) : a(a), out(out) {
    for (int d = 0; d < a.rank; d++) {
      const bool gone = axes >> d & 1;
      if (gone) append_dimension(reduced, a.size[d], {a.stride[d]});
      else append_dimension(kept, a.size[d], {a.stride[d], out.stride[d]});
      (gone ? count : outputs) *= a.size[d];
    }
    order_by_stride(kept);
    if (!keep_order) order_by_stride(reduced);
    const int64_t along_kept = std::abs(kept.inner_stride(0)), along_reduced = std::abs(reduced.inner_stride(0));
    const bool short_rows = reduced.inner() <= 32 && kept.inner() > reduced.inner();
    columns = short_rows || (along_kept < along_reduced && kept.inner() >= 8);
  }
};

// Reduces the positions [begin, end) of n outputs, of which the first is at `base`, into states. `runs` are those along the inner loop.
template <class T, class Op> void accumulate(const Reduction &r, const Op &op, const Runs<T> &runs, typename Op::State *states,
                                             int64_t base, int64_t n, int64_t begin, int64_t end) {
  std::fill(states, states + n, op.start());
  alignas(64) T scratch[LINES][TILE];
  const int64_t step = r.reduced.inner_stride(0);
  for_runs(r.reduced, begin, end, TILE, [&](const int64_t *offset, int64_t run) {
    if (!r.columns) op.row(states[0], runs.open(scratch[0], base + offset[0], run), run, begin);
    for (int64_t i = 0; r.columns && i < run; i += LINES) {
      const int count = int(std::min<int64_t>(LINES, run - i));
      const T *x[LINES];
      for (int j = 0; j < count; j++) x[j] = runs.open(scratch[j], base + offset[0] + (i + j) * step, n);
      op.columns(states, x, count, n, begin + i);
    }
    begin += run;
  });
}

// An op, as far as the loops over the outputs need to know it. The functions are virtual, so that these loops are compiled once and not for
// every op; each call handles a run of outputs.
class Accumulator {
 public:
  const int64_t state_bytes;
  explicit Accumulator(int64_t state_bytes) : state_bytes(state_bytes) {}
  // Reduces the positions [begin, end) of n outputs, of which the first is at `base`, into states.
  virtual void accumulate(const Reduction &r, char *states, int64_t base, int64_t n, int64_t begin, int64_t end) const = 0;
  // Adds the n states of each later part to those of the first.
  virtual void merge(char *states, int64_t n, int64_t parts) const = 0;
  virtual void write(const Reduction &r, const char *states, int64_t offset, int64_t n) const = 0;

 protected:
  ~Accumulator() = default;
};

template <class T, class Op, class Finish> class OpAccumulator final : public Accumulator {
 public:
  using State = typename Op::State;
  OpAccumulator(const Reduction &r, const Op &op, const Finish &finish)
      : Accumulator(sizeof(State)), runs_(r.a, r.columns ? r.kept.inner_stride(0) : r.reduced.inner_stride(0)), op_(op), finish_(finish) {}

  void accumulate(const Reduction &r, char *states, int64_t base, int64_t n, int64_t begin, int64_t end) const override {
    castor::CASTOR_ISA::accumulate<T>(r, op_, runs_, reinterpret_cast<State *>(states), base, n, begin, end);
  }
  void merge(char *states, int64_t n, int64_t parts) const override {
    State *const first = reinterpret_cast<State *>(states);
    for (int64_t k = 1; k < parts; k++)
      for (int64_t i = 0; i < n; i++) op_.merge(first[i], first[k * n + i]);
  }
  void write(const Reduction &r, const char *states, int64_t offset, int64_t n) const override {
    const State *const state = reinterpret_cast<const State *>(states);
    decltype(finish_(*state)) values[TILE];
    for (int64_t i = 0; i < n; i++) values[i] = finish_(state[i]);
    store_run(r.out, offset, r.kept.inner_stride(1), values, n);
  }

 private:
  const Runs<T> runs_;
  const Op &op_;
  const Finish &finish_;
};

// The parts of a split reduction are merged in order.
static void for_outputs(const Reduction &r, const Accumulator &op) {
  // Elements that are apart lie in cache lines of their own, which stay in the nearest cache until all their elements have been read.
  const int64_t widest = std::abs(r.kept.inner_stride(0)) == 1 ? TILE : 256;
  const int64_t width = r.columns ? std::min(widest, r.kept.inner()) : 1;
  const bool split = r.outputs < BLOCKS * width && r.count * width >= 4 * GRAIN;
  const int64_t share = split ? std::max(GRAIN / width, r.count / PARTS + 1) : std::max<int64_t>(1, r.count);
  const int64_t parts = std::max<int64_t>(1, (r.count + share - 1) / share);
  const int64_t grain = split ? r.outputs : std::max(width, GRAIN / std::max<int64_t>(1, r.count));
  parallel_for(r.outputs, grain, [&](int64_t begin, int64_t end) {
    Scratch<char> states(parts * width * op.state_bytes);
    for_runs(r.kept, begin, end, width, [&](const int64_t *offset, int64_t n) {
      parallel_for(parts, 1, [&](int64_t k, int64_t) {
        op.accumulate(r, states + k * n * op.state_bytes, offset[0], n, k * share, std::min(r.count, (k + 1) * share));
      });
      if (parts > 1) op.merge(states, n, parts);
      op.write(r, states, offset[1], n);
    });
  });
}

// An Op has a State and the functions start, row (n elements into one state), columns (`count` lines of n elements, one element of each
// line into each of n states) and merge. finish makes the result of a state.
template <class T, class Op, class Finish> void fold_all(const Reduction &r, const Op &op, const Finish &finish) {
  for_outputs(r, OpAccumulator<T, Op, Finish>(r, op, finish));
}

// The same for an Op with a function finish of its own.
template <class T, class Op> void fold_all(const Reduction &r, const Op &op) {
  fold_all<T>(r, op, [&op](const typename Op::State &state) { return op.finish(state); });
}

}  // namespace castor::CASTOR_ISA
