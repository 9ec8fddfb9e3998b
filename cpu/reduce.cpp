// The reductions: what each op computes for a row of elements, for a column of states, and when two states are merged. reduce.h decides in
// which order the elements come.
#include "reduce.h"
#include <cmath>
#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "../kernels/table.h"

namespace castor::CASTOR_ISA {
namespace {

// Calls f(line, j) for line j of x.
template <class T, class F> void for_lines(const T *const *x, int count, F f) {
  for (int j = 0; j < count; j++) f(x[j], j);
}

// The sum of term(x). Elements of other types than T are converted when they are added.
template <class T, class Term> struct Sum {
  using State = Total<T>;
  Term term;

  State start() const { return 0; }
  template <class S> void row(State &s, const S *x, int64_t n, int64_t) const {
    auto term = this->term;
    merge(s, sum_of<T>(n, [=](int64_t i) { return term(convert<T>(x[i])); }));
  }
  template <class S> void columns(State *s, const S *const *x, int count, int64_t n, int64_t) const {
    auto term = [term = this->term](S x) { return term(convert<T>(x)); };
    if (count == LINES) {
      CASTOR_IVDEP
      for (int64_t i = 0; i < n; i++)
        s[i] = m::add(s[i], State(m::add(m::add(term(x[0][i]), term(x[1][i])), m::add(term(x[2][i]), term(x[3][i])))));
      return;
    }
    for_lines(x, count, [=](const S *line, int) {
      for (int64_t i = 0; i < n; i++) s[i] = m::add(s[i], State(term(line[i])));
    });
  }
  void merge(State &s, const State &later) const { s = m::add(s, later); }
};

template <class T, class Term, class Finish> void run_sum(const Reduction &r, Term term, Finish finish) {
  const Sum<T, Term> sum{term};
  if constexpr (std::is_same_v<T, float>)
    if (r.a.dtype == DType::bf16) return fold_all<BFloat>(r, sum, finish);
  fold_all<T>(r, sum, finish);
}

// A reduction by an associative function of Wide with an identity, applied to term(x).
template <class T, class Wide, class Combine, class Term> struct Fold {
  using State = Wide;
  Wide identity;
  Combine combine;
  Term term;

  Wide start() const { return identity; }
  void row(Wide &s, const T *x, int64_t n, int64_t) const {
    auto term = this->term;
    merge(s, fold(n, identity, combine, [=](int64_t i) { return Wide(term(x[i])); }));
  }
  void columns(Wide *s, const T *const *x, int count, int64_t n, int64_t) const {
    for_lines(x, count, [=, combine = this->combine, term = this->term](const T *line, int) {
      for (int64_t i = 0; i < n; i++) s[i] = combine(s[i], Wide(term(line[i])));
    });
  }
  void merge(Wide &s, const Wide &later) const { s = combine(s, later); }
  Wide finish(const Wide &s) const { return s; }
};

template <class T, class Wide, class Combine, class Term>
void run_fold(const Reduction &r, Wide identity, Combine combine, Term term) {
  fold_all<T>(r, Fold<T, Wide, Combine, Term>{identity, combine, term});
}

// The position of the first extreme element.
template <class T, bool largest> struct Arg {
  struct State { T value; int64_t index; };
  static constexpr int SEARCH = 64;  // elements

  template <class V> static V combine(V a, V b) { return largest ? m::maximum(a, b) : m::minimum(a, b); }
  static bool beats(T a, T b) { return (largest ? a > b : a < b) | ((a != a) & (b == b)); }

  // The position of the extreme among n elements. It looks for the first block that contains it, without branches, and then within the
  // block. A NaN is always the extreme.
  static int64_t first(const T *x, int64_t n, T best) {
    auto match = [=](int64_t i) { return (x[i] == best) | (x[i] != x[i]); };
    int64_t i = 0;
    for (int hit = 0; i + SEARCH <= n; i += SEARCH) {
      for (int j = 0; j < SEARCH; j++) hit |= match(i + j);
      if (hit) break;
    }
    while (!match(i)) i++;
    return i;
  }

  State start() const { return {largest ? lowest<T> : highest<T>, 0}; }
  void row(State &s, const T *x, int64_t n, int64_t index) const {
    const T best = fold(n, start().value, [](auto a, auto b) { return combine(a, b); }, [=](int64_t i) { return x[i]; });
    if (!beats(best, s.value)) return;
    s = {best, index + first(x, n, best)};
  }
  void columns(State *s, const T *const *x, int count, int64_t n, int64_t index) const {
    for_lines(x, count, [=](const T *line, int j) {
      for (int64_t i = 0; i < n; i++) {
        const bool better = beats(line[i], s[i].value);
        s[i].value = better ? line[i] : s[i].value;
        s[i].index = better ? index + j : s[i].index;
      }
    });
  }
  void merge(State &s, const State &later) const {
    if (beats(later.value, s.value)) s = later;
  }
  int64_t finish(const State &s) const { return s.index; }
};

// Variance: the count, the mean and the sum of squared deviations from the mean, merged as in Chan, Golub, LeVeque: Updating formulae and a
// pairwise algorithm for computing sample variances; 1979.
template <class T> struct Moments {
  struct State { double count, mean, squares; };
  double correction;
  bool root;

  State start() const { return {0, 0, 0}; }
  void row(State &s, const T *x, int64_t n, int64_t) const {
    const T near = T(sum_of<T>(n, [=](int64_t i) { return x[i]; }) / n);
    const double off = sum_of<T>(n, [=](int64_t i) { return x[i] - near; }) / n;
    const double squares = sum_of<T>(n, [=](int64_t i) { return (x[i] - near) * (x[i] - near); }) - n * off * off;
    merge(s, {double(n), near + off, squares < 0 ? 0 : squares});
  }
  void columns(State *s, const T *const *x, int lines, int64_t n, int64_t) const {
    for_lines(x, lines, [=](const T *line, int) {
      const double count = s->count + 1, share = 1 / count;
      for (int64_t i = 0; i < n; i++) {
        const double distance = line[i] - s[i].mean, mean = s[i].mean + distance * share;
        s[i] = {count, mean, s[i].squares + distance * (line[i] - mean)};
      }
    });
  }
  void merge(State &s, const State &later) const {
    if (s.count == 0) return (void)(s = later);
    const double count = s.count + later.count, distance = later.mean - s.mean, part = distance * later.count / count;
    s = {count, s.mean + part, s.squares + later.squares + distance * part * s.count};
  }
  double finish(const State &s) const {
    const double variance = s.squares / std::fmax(s.count - correction, 0);
    return root ? std::sqrt(variance) : variance;
  }
};

// log(sum) + top, where top is the largest x so far and sum the sum of exp(x - top).
template <class T> struct LogSumExp {
  struct State { T top; double sum; };

  // e^(x - top), also where both are infinite.
  static T share(T x, T top) {
    const T power = m::exp_minus(top - x);
    return x == top ? T(1) : power;
  }

  State start() const { return {lowest<T>, 0}; }
  void row(State &s, const T *x, int64_t n, int64_t) const {
    const T top = max_of(x, n);
    merge(s, {top, sum_of<T>(n, [=](int64_t i) { return share(x[i], top); })});
  }
  // These loops vectorise only where they are not part of others.
  [[gnu::noinline]] static void raise(T *top, const T *x, int64_t n) {
    CASTOR_IVDEP
    for (int64_t i = 0; i < n; i++) top[i] = m::maximum(top[i], x[i]);
  }
  [[gnu::noinline]] static void add_shares(T *sum, const T *x, const T *top, int64_t n) {
    CASTOR_IVDEP
    for (int64_t i = 0; i < n; i++) sum[i] += share(x[i], top[i]);
  }
  // The states are taken apart into arrays, so that the loops over them vectorise.
  void columns(State *s, const T *const *x, int count, int64_t n, int64_t) const {
    T top[TILE], before[TILE], kept[TILE], sum[TILE];
    for (int64_t i = 0; i < n; i++) top[i] = before[i] = s[i].top;
    for (int j = 0; j < count; j++) raise(top, x[j], n);
    std::fill_n(sum, n, T(0));
    for (int j = 0; j < count; j++) add_shares(sum, x[j], top, n);
    std::fill_n(kept, n, T(0));
    add_shares(kept, before, top, n);
    for (int64_t i = 0; i < n; i++) s[i] = {top[i], s[i].sum * kept[i] + sum[i]};
  }
  void merge(State &s, const State &later) const {
    const T top = m::maximum(s.top, later.top);
    s = {top, s.sum * share(s.top, top) + later.sum * share(later.top, top)};
  }
  double finish(const State &s) const { return s.top + std::log(s.sum); }
};

template <class T> void norm_of(const Reduction &r, double p) {
  auto magnitude = [](T x) { return m::abs(x); };
  auto larger = [](auto a, auto b) { return m::maximum(a, b); };
  auto smaller = [](auto a, auto b) { return m::minimum(a, b); };
  if (p == HUGE_VAL) return run_fold<T>(r, T(0), larger, magnitude);
  if (p == -HUGE_VAL) return run_fold<T>(r, r.count ? highest<T> : T(0), smaller, magnitude);
  with_norm_term<T>(p, [&](auto term) { run_sum<T>(r, term, [p](double sum) { return norm_root(sum, p); }); });
}

// Ops whose result has the dtype of the input, or is a position or a count.
template <class T> void reduce_any(Reduce op, const Reduction &r) {
  using Wide = Total<T>;
  auto same = [](auto x) { return x; };
  auto larger = [](auto a, auto b) { return m::maximum(a, b); };
  auto smaller = [](auto a, auto b) { return m::minimum(a, b); };
  auto nonzero = [](T x) { return T(x != 0); };
  switch (op) {
    case Reduce::sum: return run_sum<T>(r, same, same);
    case Reduce::prod: return run_fold<T>(r, Wide(1), [](auto a, auto b) { return m::mul(a, b); }, same);
    case Reduce::max: return run_fold<T>(r, lowest<T>, larger, same);
    case Reduce::min: return run_fold<T>(r, highest<T>, smaller, same);
    case Reduce::argmax: return fold_all<T>(r, Arg<T, true>());
    case Reduce::argmin: return fold_all<T>(r, Arg<T, false>());
    case Reduce::any: return run_sum<T>(r, nonzero, [](Wide sum) { return int64_t(sum != 0); });
    case Reduce::all: return run_sum<T>(r, nonzero, [n = r.count](Wide sum) { return int64_t(sum == n); });
    default: return run_sum<T>(r, nonzero, [](Wide sum) { return int64_t(sum); });
  }
}

// Ops whose result is a real number, also for integer inputs.
template <class T> void reduce_real(Reduce op, const Reduction &r, double p0) {
  switch (op) {
    case Reduce::mean: return run_sum<T>(r, [](T x) { return x; }, [n = double(r.count)](double sum) { return sum / n; });
    case Reduce::norm: return norm_of<T>(r, p0);
    case Reduce::logSumExp: return fold_all<T>(r, LogSumExp<T>());
    default: return fold_all<T>(r, Moments<T>{p0, op == Reduce::std});
  }
}

bool is_real(Reduce op) {
  return op == Reduce::mean || op == Reduce::norm || op == Reduce::logSumExp || op == Reduce::var || op == Reduce::std;
}
bool is_extreme(Reduce op) { return op == Reduce::max || op == Reduce::min || op == Reduce::argmax || op == Reduce::argmin; }

}  // namespace

void reduce(int number, const View &a, const View &out, uint32_t axes, double p0) {
  const Reduce op = Reduce(number);
  const Reduction r(a, out, axes, op == Reduce::argmax || op == Reduce::argmin);
  if (r.count == 0 && is_extreme(op)) fail(CASTOR_SHAPE, "there are no elements to select from: a reduced axis has size 0");
  if (is_real(op)) return compute_type(a.dtype) == DType::f32 ? reduce_real<float>(op, r, p0) : reduce_real<double>(op, r, p0);
  with_compute_type(a.dtype, [&](auto zero) { reduce_any<decltype(zero)>(op, r); });
}

}  // namespace castor::CASTOR_ISA
