// Ops on lists of tensors in one launch: unscaling, scaling and the p-norm of gradients. A block computes chunks of CHUNK elements of one
// tensor (multi.h).
#include <cmath>
#include "../kernels/math.h"
#include "../kernels/table.h"
#include "block.h"
#include "multi.h"

namespace castor::cuda {
namespace {

constexpr int THREADS = 256;

// Calls start(tensors of the launch, blocks) for every launch that a list of tensors takes.
template <class F> void launch_all(const View *list, int count, F start) {
  Gathered<1>(list, count, {0}).for_each_launch([&](const auto &where) { start(where, where.chunks()); });
}

// ---- gradients divided by a scale -------------------------------------------------------------------------------------------------

// Multiplication never makes a value finite, so checking the results also finds the values that were not finite before. A factor of 1
// writes nothing.
template <class Where> __global__ void __launch_bounds__(512)
    unscale_kernel(const __grid_constant__ Where where, Number inverse_scale, float *found_inf) {
  const auto piece = where.piece();
  const float inverse = inverse_scale.get();
  bool bad = false;
  with_float_dtype(piece.dtype[0], [&](auto element) {
    using S = decltype(element);
    using T = Arithmetic<S>;
    if (inverse == 1) {
      for_each_alike<S, 0>(where, piece, [&](S (&x)[1]) { bad |= !m::is_finite(convert<T>(x[0])); });
    } else {
      for_each_alike<S, 1>(where, piece, [&](S (&x)[1]) {
        x[0] = convert<S>(convert<T>(x[0]) * T(inverse));
        bad |= !m::is_finite(convert<T>(x[0]));
      });
    }
  });
  if (__syncthreads_or(bad) && threadIdx.x == 0) atomicExch(found_inf, 1.0f);
}

template <class Where> __global__ void __launch_bounds__(512) scale_kernel(const __grid_constant__ Where where, Number factor) {
  const auto piece = where.piece();
  with_float_dtype(piece.dtype[0], [&](auto element) {
    using S = decltype(element);
    using T = Arithmetic<S>;
    const T by = factor.get();
    for_each_alike<S, 1>(where, piece, [&](S (&x)[1]) { x[0] = convert<S>(convert<T>(x[0]) * by); });
  });
}

// ---- the p-norm of all elements: first of chunks, then of the results of the chunks --------------------------------------------------

struct Count { template <class T> __device__ T operator()(T x) const { return T(x != 0); } };
struct Absolute { template <class T> __device__ T operator()(T x) const { return m::abs(x); } };
struct Square { template <class T> __device__ T operator()(T x) const { return x * x; } };
struct Power {
  double p;
  template <class T> __device__ T operator()(T x) const { return m::pow(m::abs(x), T(p)); }
};

template <class Where, class Term, class Combine>
__global__ void __launch_bounds__(512) norm_chunks_kernel(const __grid_constant__ Where where, Term term, Combine combine, double *parts) {
  const auto piece = where.piece();
  double part = 0;
  with_float_dtype(piece.dtype[0], [&](auto element) {
    using S = decltype(element);
    using T = Arithmetic<S>;
    T sum = 0;
    for_each_alike<S, 0>(where, piece, [&](S (&x)[1]) { sum = combine(sum, term(convert<T>(x[0]))); });
    part = sum;
  });
  part = block_reduce(part, 0.0, combine);
  if (threadIdx.x == 0) parts[blockIdx.x] = part;
}

template <class Combine> __global__ void __launch_bounds__(1024)
    norm_finish_kernel(const double *parts, int64_t count, Combine combine, double p, float *out) {
  double all = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) all = combine(all, parts[i]);
  all = block_reduce(all, 0.0, combine);
  const bool root = p != 0 && p != 1 && !std::isinf(p);
  if (threadIdx.x == 0) *out = float(!root ? all : p == 2 ? std::sqrt(all) : std::pow(all, 1 / p));
}

template <class Term, class Combine> void norm_of(const View *list, int count, const View &out, double p, Term term, Combine combine) {
  Context &context = context_of(out);
  Gathered<1> tensors(list, count, {0});
  const int64_t chunks = tensors.chunks();
  const Scratch parts(context, chunks * int64_t(sizeof(double)));
  double *part = parts.as<double>();
  tensors.for_each_launch([&](const auto &where) {
    using Where = std::decay_t<decltype(where)>;
    launch(context, "multi_norm", norm_chunks_kernel<Where, Term, Combine>, where.chunks(), block_threads(THREADS), 0,
           where, term, combine, part);
    part += where.chunks();
  });
  launch(context, "multi_norm", norm_finish_kernel<Combine>, 1, block_threads(THREADS), 0, parts.as<const double>(), chunks, combine,
         p, out.as<float>());
}

__global__ void update_scale_kernel(float *scale, int32_t *tracker, Number found_inf, ScaleRule rule) {
  if (threadIdx.x > 0) return;
  if (found_inf.get() != 0) {
    const float smaller = float(*scale * rule.backoff), floor = float(rule.floor);
    *scale = floor < smaller ? smaller : floor;
    *tracker = 0;
  } else if (++*tracker >= rule.interval && rule.interval > 0) {
    const float larger = float(*scale * rule.growth), ceiling = float(rule.ceiling), grown = ceiling < larger ? ceiling : larger;
    if (m::is_finite(grown)) *scale = grown;
    *tracker = 0;
  }
}

}  // namespace

void multi_unscale(const View *lists, int count, const View &inverse_scale, const View &found_inf) {
  Context &context = context_of(found_inf);
  launch_all(lists, count, [&](const auto &where, const Grid &grid) {
    launch(context, "multi_unscale", unscale_kernel<std::decay_t<decltype(where)>>, grid, block_threads(THREADS), 0, where,
           number(&inverse_scale), found_inf.as<float>());
  });
}

void multi_scale(const View *lists, int count, const View &factor) {
  Context &context = context_of(lists[0]);
  launch_all(lists, count, [&](const auto &where, const Grid &grid) {
    launch(context, "multi_scale", scale_kernel<std::decay_t<decltype(where)>>, grid, block_threads(THREADS), 0, where, number(&factor));
  });
}

void multi_norm(const View *lists, int count, const View &out, double p) {
  if (std::isinf(p)) norm_of(lists, count, out, p, Absolute{}, Largest{});
  else if (p == 0) norm_of(lists, count, out, p, Count{}, Sum{});
  else if (p == 1) norm_of(lists, count, out, p, Absolute{}, Sum{});
  else if (p == 2) norm_of(lists, count, out, p, Square{}, Sum{});
  else norm_of(lists, count, out, p, Power{p}, Sum{});
}

void update_scale(const View &scale, const View &tracker, const View &found_inf, const ScaleRule &rule) {
  launch(context_of(scale), "update_scale", update_scale_kernel, 1, 32, 0, scale.as<float>(), tracker.as<int32_t>(),
         number(&found_inf), rule);
}

}  // namespace castor::cuda
