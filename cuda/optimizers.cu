// The steps of SGD and Adam for lists of tensors, in one launch for each list: a block updates chunks of CHUNK elements (multi.h), and
// does nothing if found_inf is not 0.
#include <cmath>
#include "../kernels/math.h"
#include "../kernels/table.h"
#include "multi.h"

namespace castor::cuda {
namespace {

// ---- the step numbers of the tensors, and the rates that follow from them ----------------------------------------------------------

struct Rates {
  double lr;
  double size;          // lr / (1 - beta1^step)
  double inverse_root;  // 1 / sqrt(1 - beta2^step)
  bool first;
};

struct Steps {
  int count;
  float *step[MOST_TENSORS];
};

// A learning rate on the device, or a constant.
struct LearningRate {
  const double *data;
  double value;

  __device__ __forceinline__ double get() const { return data ? *data : value; }
};
LearningRate learning_rate_of(const View *v, double absent) {
  LearningRate rate{v && !v->constant ? v->as<const double>() : nullptr, absent};
  if (v && v->constant) memcpy(&rate.value, v->value, sizeof rate.value);
  return rate;
}

// Runs before the kernel of the tensors, so that all its blocks see the same step number.
__global__ void step_kernel(const __grid_constant__ Steps steps, Number found_inf, LearningRate learning_rate, double beta1, double beta2,
                            Rates *rates) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= steps.count || found_inf.get() != 0) return;
  const float before = *steps.step[i], step = before + 1;
  *steps.step[i] = step;
  const double lr = learning_rate.get();
  rates[i] = {lr, lr / (1 - std::pow(beta1, double(step))), 1 / std::sqrt(1 - std::pow(beta2, double(step))), before == 0};
}

void raise_steps(Context &context, const View *list, int count, const Number &found_inf, const LearningRate &lr, double beta1,
                 double beta2, Rates *rates) {
  for (int begin = 0; begin < count; begin += MOST_TENSORS) {
    Steps steps{std::min(count - begin, MOST_TENSORS), {}};
    for (int i = 0; i < steps.count; i++) steps.step[i] = list[begin + i].as<float>();
    launch(context, "step", step_kernel, blocks_for(steps.count, 32), 32, 0, steps, found_inf, lr, beta1, beta2,
           rates + begin);
  }
}

// ---- the rules, for one element ------------------------------------------------------------------------------------------------------

// The gradient that the rules use: negated for `maximize`, with the weight decay added.
template <class T> struct Effective {
  T sign, decay;

  __device__ __forceinline__ T operator()(T gradient, T parameter) const {
    const T g = sign * gradient;
    return decay == 0 ? g : g + decay * parameter;
  }
};

// The values are parameter, gradient and, with momentum, its buffer.
template <int K> struct SgdRule {
  static constexpr int LISTS = K;
  static constexpr unsigned WRITTEN = K == 3 ? 0b101 : 0b001;
  Sgd h;

  template <class T> struct Step {
    Effective<T> effective;
    T keep, take, momentum, lr;
    bool nesterov;

    __device__ __forceinline__ Step(const Sgd &h, const Rates &rates)
        : effective{T(h.maximize != 0 ? -1 : 1), T(h.weight_decay)},
          keep(T(rates.first ? 0 : h.momentum)),
          take(T(rates.first ? 1 : 1 - h.dampening)),
          momentum(T(h.momentum)),
          lr(T(rates.lr)),
          nesterov(h.nesterov != 0) {}

    __device__ __forceinline__ void operator()(T (&x)[K]) const {
      T g = effective(x[1], x[0]);
      if constexpr (K == 3) {
        x[2] = (keep == 0 ? T(0) : keep * x[2]) + take * g;
        g = nesterov ? g + momentum * x[2] : x[2];
      }
      x[0] -= lr * g;
    }
  };
};

// The values are parameter, gradient, first and second moment and, with amsgrad, the largest second moment.
template <int K> struct AdamRule {
  static constexpr int LISTS = K;
  static constexpr unsigned WRITTEN = K == 5 ? 0b11101 : 0b01101;
  Adam h;

  template <class T> struct Step {
    Effective<T> effective;
    T rate1, keep2, rate2, eps, keep, size, inverse_root;

    __device__ __forceinline__ Step(const Adam &h, const Rates &rates)
        : effective{T(h.maximize != 0 ? -1 : 1), T(h.decoupled != 0 ? 0 : h.weight_decay)},
          rate1(T(1 - h.beta1)),
          keep2(T(h.beta2)),
          rate2(T(1 - h.beta2)),
          eps(T(h.eps)),
          keep(T(h.decoupled != 0 ? 1 - rates.lr * h.weight_decay : 1)),
          size(T(rates.size)),
          inverse_root(T(rates.inverse_root)) {}

    __device__ __forceinline__ void operator()(T (&x)[K]) const {
      const T g = effective(x[1], x[0]);
      x[2] += rate1 * (g - x[2]);
      x[3] = keep2 * x[3] + rate2 * g * g;
      if constexpr (K == 5) x[4] = m::maximum(x[4], x[3]);
      x[0] = keep * x[0] - size * x[2] / (m::sqrt(x[K == 5 ? 4 : 3]) * inverse_root + eps);
    }
  };
};

// ---- all elements -----------------------------------------------------------------------------------------------------------------------

// For lists of different dtypes: one element at a time.
template <class T, unsigned WRITTEN, class Where, int K, class F>
__device__ __forceinline__ void for_each_mixed(const Where &where, const Piece<K> &piece, F f) {
  for (int i = threadIdx.x; i < piece.n; i += blockDim.x) {
    int64_t offset[K];
    where.offsets(piece.begin + i, offset);
    T x[K];
    GPU_UNROLL for (int k = 0; k < K; k++) x[k] = load<T>(piece.data[k], piece.dtype[k], offset[k]);
    f(x);
    GPU_UNROLL for (int k = 0; k < K; k++)
      if (WRITTEN >> k & 1) store(piece.data[k], piece.dtype[k], offset[k], x[k]);
  }
}

template <class Where, class Rule> __global__ void __launch_bounds__(512)
    optimizer_kernel(const __grid_constant__ Where where, Rule rule, Number found_inf, const Rates *rates) {
  constexpr int K = Rule::LISTS;
  if (found_inf.get() != 0) return;
  const Piece<K> piece = where.piece();
  const Rates rate = rates[piece.tensor];
  const auto mixed = [&](auto zero) {
    using T = decltype(zero);
    const typename Rule::template Step<T> step(rule.h, rate);
    for_each_mixed<T, Rule::WRITTEN>(where, piece, [&](T (&x)[K]) { step(x); });
  };
  if (!piece.alike) return piece.dtype[0] == DType::f64 ? mixed(double{}) : mixed(float{});
  with_float_dtype(piece.dtype[0], [&](auto element) {
    using S = decltype(element);
    using T = Arithmetic<S>;
    const typename Rule::template Step<T> step(rule.h, rate);
    for_each_alike<S, Rule::WRITTEN>(where, piece, [&](S (&stored)[K]) {
      T x[K];
      GPU_UNROLL for (int k = 0; k < K; k++) x[k] = convert<T>(stored[k]);
      step(x);
      GPU_UNROLL for (int k = 0; k < K; k++) stored[k] = convert<S>(x[k]);
    });
  });
}

template <class Rule> void run(const View *lists, int count, const int (&which)[Rule::LISTS], int steps, const Rule &rule, double beta1,
                               double beta2, const View *learning_rate, const View *found_inf) {
  Context &context = context_of(lists[0]);
  const Number found = number(found_inf);
  const Scratch rates(context, count * int64_t(sizeof(Rates)));
  raise_steps(context, lists + steps * count, count, found, learning_rate_of(learning_rate, rule.h.lr), beta1, beta2,
              rates.as<Rates>());
  Gathered<Rule::LISTS>(lists, count, which).for_each_launch([&](const auto &where) {
    launch(context, "optimizer", optimizer_kernel<std::decay_t<decltype(where)>, Rule>, where.chunks(), block_threads(256),
           0, where, rule, found, rates.as<const Rates>());
  });
}

}  // namespace

void multi_sgd(const View *lists, int count, const Sgd &hyper, const View *learning_rate, const View *found_inf) {
  if (hyper.momentum != 0) run(lists, count, {0, 1, 2}, 3, SgdRule<3>{hyper}, 0, 0, learning_rate, found_inf);
  else run(lists, count, {0, 1}, 2, SgdRule<2>{hyper}, 0, 0, learning_rate, found_inf);
}

void multi_adam(const View *lists, int count, const Adam &hyper, const View *learning_rate, const View *found_inf) {
  if (hyper.amsgrad != 0) run(lists, count, {0, 1, 2, 3, 5}, 4, AdamRule<5>{hyper}, hyper.beta1, hyper.beta2, learning_rate, found_inf);
  else run(lists, count, {0, 1, 2, 3}, 4, AdamRule<4>{hyper}, hyper.beta1, hyper.beta2, learning_rate, found_inf);
}

}  // namespace castor::cuda
