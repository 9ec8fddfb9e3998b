// The reductions: the state of each op, how elements are added to it, and how two states are merged. reduction.h describes how the threads
// read the elements.
#include "../kernels/fold.h"
#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "../kernels/table.h"
#include "reduce_columns.h"
#include "reduce_rows.h"
#include "resident.h"

namespace castor::cuda {
namespace {

// Combines all elements of y, as a tree.
template <int HALF, class T, class Combine> __device__ __forceinline__ T fold_tree(T *y, Combine combine) {
  GPU_UNROLL for (int k = 0; k < HALF; k++) y[k] = combine(y[k], y[k + HALF]);
  if constexpr (HALF > 1) return fold_tree<HALF / 2>(y, combine);
  else return y[0];
}
template <class T, int N, class Combine> __device__ __forceinline__ T fold_tree(T (&y)[N], Combine combine) {
  return fold_tree<N / 2>(&y[0], combine);
}

template <int N, class F> __device__ __forceinline__ void for_each(F f) {
  GPU_UNROLL for (int k = 0; k < N; k++) f(k);
}

enum class Term { same, magnitude, square, nonzero };
enum class Ask { sum, mean, any, all, root };

template <class T> struct Summing {
  using State = Total<T>;
  static constexpr int UNDER_WAY = 32;
  Term term;
  Ask ask;
  double n, p;  // number of elements of a sum; order of a norm

  __device__ State start() const { return 0; }
  // An element that is not valid is 0, and so is its term.
  template <int N, class Where> __device__ __forceinline__ void fold(State &s, const T (&x)[N], uint32_t, Where) const {
    T y[N];
    switch (term) {
      case Term::same: for_each<N>([&](int k) { y[k] = x[k]; }); break;
      case Term::magnitude: for_each<N>([&](int k) { y[k] = m::abs(x[k]); }); break;
      case Term::square: for_each<N>([&](int k) { y[k] = x[k] * x[k]; }); break;
      default: for_each<N>([&](int k) { y[k] = T(x[k] != 0); });
    }
    merge(s, State(fold_tree(y, [](T a, T b) { return m::add(a, b); })));
  }
  __device__ __forceinline__ void merge(State &s, State other) const { s = m::add(s, other); }
  __device__ State finish(State s) const {
    switch (ask) {
      case Ask::mean: return State(s / n);
      case Ask::any: return s != 0;
      case Ask::all: return s == State(n);
      case Ask::root: return State(norm_root(double(s), p));
      default: return s;
    }
  }
};

// Norms of any other order have a state of their own, because powers need many registers.
template <class T> struct PowerNorm {
  using State = double;
  static constexpr int UNDER_WAY = 8;
  double p;

  __device__ State start() const { return 0; }
  template <int N, class Where> __device__ __forceinline__ void fold(State &s, const T (&x)[N], uint32_t valid, Where) const {
    T y[N];
    for_each<N>([&](int k) { y[k] = valid >> k & 1 ? m::pow(m::abs(x[k]), T(p)) : T(0); });
    s += fold_tree(y, [](T a, T b) { return a + b; });
  }
  __device__ __forceinline__ void merge(State &s, State other) const { s += other; }
  __device__ double finish(State s) const { return norm_root(s, p); }
};

template <class T> struct Product {
  using State = Total<T>;
  static constexpr int UNDER_WAY = 8;

  __device__ State start() const { return 1; }
  template <int N, class Where> __device__ __forceinline__ void fold(State &s, const T (&x)[N], uint32_t valid, Where) const {
    State y[N];
    for_each<N>([&](int k) { y[k] = valid >> k & 1 ? State(x[k]) : State(1); });
    merge(s, fold_tree(y, [](State a, State b) { return m::mul(a, b); }));
  }
  __device__ __forceinline__ void merge(State &s, State other) const { s = m::mul(s, other); }
  __device__ State finish(State s) const { return s; }
};

template <class T> struct Extreme {
  using State = T;
  static constexpr int UNDER_WAY = 32;
  bool largest, magnitude;
  T identity;

  __device__ State start() const { return identity; }
  template <int N, class Where> __device__ __forceinline__ void fold(State &s, const T (&x)[N], uint32_t valid, Where) const {
    T y[N];
    for_each<N>([&](int k) { y[k] = valid >> k & 1 ? magnitude ? m::abs(x[k]) : x[k] : identity; });
    if (largest) merge(s, fold_tree(y, [](T a, T b) { return m::maximum(a, b); }));
    else merge(s, fold_tree(y, [](T a, T b) { return m::minimum(a, b); }));
  }
  __device__ __forceinline__ void merge(T &s, T other) const { s = largest ? m::maximum(s, other) : m::minimum(s, other); }
  __device__ T finish(State s) const { return s; }
};

// The position of the first extreme element. A NaN is always the extreme.
template <class T> struct Arg {
  struct State { T value; int64_t index; };
  static constexpr int UNDER_WAY = 32;
  bool largest;

  __device__ State start() const { return {largest ? lowest<T> : highest<T>, std::numeric_limits<int64_t>::max()}; }
  template <int N, class Where>
  __device__ __forceinline__ void fold(State &s, const T (&x)[N], uint32_t valid, Where where) const {
    for_each<N>([&](int k) {
      if (valid >> k & 1) merge(s, {x[k], where(k)});
    });
  }
  __device__ __forceinline__ void merge(State &s, const State &other) const {
    const T a = other.value, b = s.value;
    const bool beats = (largest ? a > b : a < b) | ((a != a) & (b == b)), ties = (a == b) | ((a != a) & (b != b));
    if (beats | (ties & (other.index < s.index))) s = other;
  }
  __device__ int64_t finish(const State &s) const { return s.index; }
};

// Variance: counts, means and sums of squared deviations from the mean, merged as in Chan, Golub, LeVeque (see batch_group_norm.cu).
template <class T> struct Moments {
  struct State { double count, mean, squares; };
  static constexpr int UNDER_WAY = 16;
  double correction;
  bool root;

  __device__ State start() const { return {0, 0, 0}; }
  template <int N, class Where> __device__ __forceinline__ void fold(State &s, const T (&x)[N], uint32_t valid, Where) const {
    auto sum = [&](auto term) {
      T y[N];
      for_each<N>([&](int k) { y[k] = valid >> k & 1 ? term(x[k]) : T(0); });
      return fold_tree(y, [](T a, T b) { return a + b; });
    };
    const T n = T(__popc(valid)), near = sum([](T x) { return x; }) / n;
    const T off = sum([&](T x) { return x - near; }) / n;
    const T squares = sum([&](T x) { return (x - near) * (x - near); }) - n * off * off;
    if (valid) merge(s, {double(n), double(near) + double(off), squares < 0 ? 0 : double(squares)});
  }
  __device__ __forceinline__ void merge(State &s, const State &other) const {
    if (s.count == 0) return (void)(s = other);
    const double count = s.count + other.count, distance = other.mean - s.mean, part = distance * (other.count / count);
    s = {count, s.mean + part, s.squares + other.squares + distance * part * s.count};
  }
  __device__ double finish(const State &s) const {
    const double variance = s.squares / fmax(s.count - correction, 0.0);
    return root ? sqrt(variance) : variance;
  }
};

// log(sum) + top, where top is the largest x so far and sum the sum of exp(x - top). No exponent is positive. Where one is so large that
// __expf is inaccurate, its term is negligible.
template <class T> struct LogSumExp {
  struct State { T top; double sum; };
  static constexpr int UNDER_WAY = 32;

  static __device__ __forceinline__ float exp(float x) { return __expf(x); }
  static __device__ __forceinline__ double exp(double x) { return std::exp(x); }

  __device__ State start() const { return {lowest<T>, 0}; }
  template <int N, class Where> __device__ __forceinline__ void fold(State &s, const T (&x)[N], uint32_t valid, Where) const {
    T y[N];
    for_each<N>([&](int k) { y[k] = valid >> k & 1 ? x[k] : lowest<T>; });
    const T top = fold_tree(y, [](T a, T b) { return m::maximum(a, b); });
    const T shift = top == lowest<T> || top == highest<T> ? T(0) : top;
    for_each<N>([&](int k) { y[k] = valid >> k & 1 ? exp(x[k] - shift) : T(0); });
    merge(s, {top, double(fold_tree(y, [](T a, T b) { return a + b; }))});
  }
  __device__ __forceinline__ void merge(State &s, const State &other) const {
    const double shrink = s.top == other.top ? T(1) : exp(-m::abs(s.top - other.top));
    s.sum = other.top > s.top ? s.sum * shrink + other.sum : other.sum * shrink + s.sum;
    s.top = m::maximum(s.top, other.top);
  }
  __device__ double finish(const State &s) const { return double(s.top) + log(s.sum); }
};

template <class T, class Op> void fold_all(const Reduction &r, const Op &op) {
  r.columns() ? fold_columns<T>(r, op) : fold_rows<T>(r, op);
}

template <class T> void norm_of(const Reduction &r, double p) {
  if (p == HUGE_VAL) return fold_all<T>(r, Extreme<T>{true, true, T(0)});
  if (p == -HUGE_VAL) return fold_all<T>(r, Extreme<T>{false, true, r.count ? highest<T> : T(0)});
  if (p != 0 && p != 1 && p != 2) return fold_all<T>(r, PowerNorm<T>{p});
  fold_all<T>(r, Summing<T>{p == 0 ? Term::nonzero : p == 1 ? Term::magnitude : Term::square, Ask::root, double(r.count), p});
}

// Ops whose result has the dtype of the input, or is a position or a count.
template <class T> void reduce_any(Reduce op, const Reduction &r) {
  const double n = double(r.count);
  switch (op) {
    case Reduce::sum: return fold_all<T>(r, Summing<T>{Term::same, Ask::sum, n, 0});
    case Reduce::prod: return fold_all<T>(r, Product<T>{});
    case Reduce::max: return fold_all<T>(r, Extreme<T>{true, false, lowest<T>});
    case Reduce::min: return fold_all<T>(r, Extreme<T>{false, false, highest<T>});
    case Reduce::argmax: return fold_all<T>(r, Arg<T>{true});
    case Reduce::argmin: return fold_all<T>(r, Arg<T>{false});
    case Reduce::any: return fold_all<T>(r, Summing<T>{Term::nonzero, Ask::any, n, 0});
    case Reduce::all: return fold_all<T>(r, Summing<T>{Term::nonzero, Ask::all, n, 0});
    default: return fold_all<T>(r, Summing<T>{Term::nonzero, Ask::sum, n, 0});
  }
}

// Ops whose result is a real number, also for integer inputs.
template <class T> void reduce_real(Reduce op, const Reduction &r, double p0) {
  switch (op) {
    case Reduce::mean: return fold_all<T>(r, Summing<T>{Term::same, Ask::mean, double(r.count), 0});
    case Reduce::norm: return norm_of<T>(r, p0);
    case Reduce::logSumExp: return fold_all<T>(r, LogSumExp<T>());
    default: return fold_all<T>(r, Moments<T>{p0, op == Reduce::std});
  }
}

bool is_real(Reduce op) {
  return op == Reduce::mean || op == Reduce::norm || op == Reduce::logSumExp || op == Reduce::var || op == Reduce::std;
}

}  // namespace

void reduce(int number, const View &given, const View &out, uint32_t axes, double p0) {
  const Reduce op = Reduce(number);
  Context &context = context_of(out);
  const Resident resident(context, given);
  const View &a = resident;
  const Reduction r(context, a, out, axes, op == Reduce::argmax || op == Reduce::argmin);
  if (is_real(op)) return compute_type(a.dtype) == DType::f32 ? reduce_real<float>(op, r, p0) : reduce_real<double>(op, r, p0);
  with_compute_type(a.dtype, [&](auto zero) { reduce_any<decltype(zero)>(op, r); });
}

}  // namespace castor::cuda
