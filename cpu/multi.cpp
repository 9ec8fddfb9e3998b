// Ops on lists of tensors: unscaling and norms of gradients, and the steps of SGD and Adam. All elements of all tensors are divided into
// chunks of at most GRAIN elements, which are distributed over the threads.
#include <atomic>
#include <cmath>
#include <vector>
#include "../kernels/math.h"
#include "fold.h"
#include "../kernels/table.h"
#include "rows.h"

namespace castor::CASTOR_ISA {
namespace {

// Corresponding tensors of K lists, visited in the memory order of those of the first list.
template <int K> struct Together {
  const View *view[K];
  Loop<K> loop;

  Together(const View *lists, int count, const int (&which)[K], int tensor) {
    for (int k = 0; k < K; k++) view[k] = &lists[which[k] * count + tensor];
    for (int d = 0; d < view[0]->rank; d++) {
      int64_t stride[K];
      for (int k = 0; k < K; k++) stride[k] = view[k]->stride[d];
      append_dimension(loop, view[0]->size[d], stride);
    }
    order_by_stride(loop);
  }
};

// All elements of all tensors, as one sequence of chunks of at most GRAIN elements of one tensor.
class Chunks {
 public:
  Chunks(const View *tensors, int count) : first_(count + 1) {
    for (int i = 0; i < count; i++) first_[i + 1] = first_[i] + (tensors[i].numel() + GRAIN - 1) / GRAIN;
  }
  int64_t count() const { return first_.back(); }
  int tensor(int64_t chunk) const { return int(std::upper_bound(first_.begin(), first_.end(), chunk) - first_.begin()) - 1; }
  int64_t begin(int64_t chunk) const { return (chunk - first_[tensor(chunk)]) * GRAIN; }

 private:
  std::vector<int64_t> first_;
};

// A tile of each of K tensors, contiguous and in compute type.
template <class T, int K> class Tiles {
 public:
  const int64_t n;

  Tiles(const Together<K> &together, const int64_t *offset, int64_t n) : n(n), together_(together), offset_(offset) { open(); }
  void open() {
    for (int k = 0; k < K; k++) tile_[k] = open_run(scratch_[k], *together_.view[k], offset_[k], together_.loop.inner_stride(k), n);
  }
  void close(int k) const { close_run(tile_[k], scratch_[k], *together_.view[k], offset_[k], together_.loop.inner_stride(k), n); }
  T *operator[](int k) const { return tile_[k]; }

 private:
  const Together<K> &together_;
  const int64_t *offset_;
  T *tile_[K];
  T scratch_[K][TILE];
};

// Calls f(tiles, tensor, chunk) for all elements of the lists numbered `which`. float64 tensors are computed in double, others in float.
template <int K, class F> void for_tiles(const View *lists, int count, const int (&which)[K], F f) {
  const Chunks chunks(lists, count);
  parallel_for(chunks.count(), 1, [&](int64_t chunk, int64_t) {
    const int tensor = chunks.tensor(chunk);
    const Together<K> together(lists, count, which, tensor);
    const int64_t begin = chunks.begin(chunk), end = std::min(begin + GRAIN, lists[tensor].numel());
    for_runs(together.loop, begin, end, TILE, [&](const int64_t *offset, int64_t n) {
      if (lists[tensor].dtype == DType::f64) f(Tiles<double, K>(together, offset, n), tensor, chunk);
      else f(Tiles<float, K>(together, offset, n), tensor, chunk);
    });
  });
}

template <class T> void scale_tile(T *x, int64_t n, T factor) {
  for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

template <class T> bool all_finite(const T *x, int64_t n) {
  int bad = 0;
  for (int64_t i = 0; i < n; i++) bad |= !m::is_finite(x[i]);
  return !bad;
}

// The rule with the learning rate that lies in memory, if there is one.
template <class Rule> Rule with_rate(Rule rule, const View *learning_rate) {
  if (learning_rate) rule.lr = *learning_rate->as<double>();
  return rule;
}

bool overflowed(const View *found_inf) { return found_inf && *found_inf->as<float>() != 0; }

// The gradient that the optimizer uses: negated for `maximize`, with decay * parameter added.
template <class T> void effective_gradient(T *to, const T *g, const T *p, int64_t n, bool maximize, T decay) {
  const T sign = maximize ? -1 : 1;
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) to[i] = sign * g[i];
  if (decay == 0) return;
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) to[i] += decay * p[i];
}

template <class T> void momentum_tile(T *buffer, T *g, int64_t n, const Sgd &h, bool first) {
  const T keep = T(first ? 0 : h.momentum), take = T(first ? 1 : 1 - h.dampening), momentum = T(h.momentum);
  if (first) std::fill_n(buffer, n, T(0));
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) buffer[i] = keep * buffer[i] + take * g[i];
  if (h.nesterov == 0) return (void)std::copy_n(buffer, n, g);
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) g[i] += momentum * buffer[i];
}

template <class T> void sgd_tile(const Tiles<T, 3> &tile, const Sgd &h, bool first) {
  T g[TILE], *p = tile[0];
  effective_gradient<T>(g, tile[1], p, tile.n, h.maximize != 0, T(h.weight_decay));
  if (h.momentum != 0) {
    momentum_tile(tile[2], g, tile.n, h, first);
    tile.close(2);
  }
  const T lr = T(h.lr);
  CASTOR_IVDEP
  for (int64_t i = 0; i < tile.n; i++) p[i] -= lr * g[i];
  tile.close(0);
}

// The factors of Adam that depend on the number of the step.
struct Rates {
  double size;          // lr / (1 - beta1^step)
  double inverse_root;  // 1 / sqrt(1 - beta2^step)

  Rates(const Adam &h, double step)
      : size(h.lr / (1 - std::pow(h.beta1, step))), inverse_root(1 / std::sqrt(1 - std::pow(h.beta2, step))) {}
};

template <class T> void moments_tile(T *first, T *second, const T *g, int64_t n, const Adam &h) {
  const T rate1 = T(1 - h.beta1), keep2 = T(h.beta2), rate2 = T(1 - h.beta2);
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) {
    first[i] += rate1 * (g[i] - first[i]);
    second[i] = keep2 * second[i] + rate2 * g[i] * g[i];
  }
}

template <class T> void step_tile(T *p, const T *first, const T *second, int64_t n, const Rates &rates, T eps, T keep) {
  const T size = T(rates.size), inverse_root = T(rates.inverse_root);
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) p[i] = keep * p[i] - size * first[i] / (m::sqrt(second[i]) * inverse_root + eps);
}

// The lists are parameters, gradients, first moments, second moments and largest second moments.
template <class T> void adam_tile(const Tiles<T, 5> &tile, const Adam &h, const Rates &rates) {
  T scratch[TILE];
  const T *g = tile[1];
  const bool coupled = h.decoupled == 0 && h.weight_decay != 0;
  if (coupled || h.maximize != 0) {
    effective_gradient<T>(scratch, g, tile[0], tile.n, h.maximize != 0, T(coupled ? h.weight_decay : 0));
    g = scratch;
  }
  moments_tile(tile[2], tile[3], g, tile.n, h);
  if (h.amsgrad != 0) {
    CASTOR_IVDEP
    for (int64_t i = 0; i < tile.n; i++) tile[4][i] = m::maximum(tile[4][i], tile[3][i]);
    tile.close(4);
  }
  const T keep = T(h.decoupled != 0 ? 1 - h.lr * h.weight_decay : 1);
  step_tile(tile[0], tile[2], tile[h.amsgrad != 0 ? 4 : 3], tile.n, rates, T(h.eps), keep);
  for (int k : {0, 2, 3}) tile.close(k);
}

}  // namespace

void multi_unscale(const View *lists, int count, const View &inverse_scale, const View &found_inf) {
  const float inverse = *inverse_scale.as<float>();
  std::atomic<bool> found{false};
  for_tiles(lists, count, {0}, [&](auto &&tile, int, int64_t) {
    if (inverse != 1) {
      scale_tile(tile[0], tile.n, {inverse});
      tile.close(0);
      tile.open();
    }
    // Multiplication never makes a value finite, so this check also finds values that were not finite before it.
    if (!all_finite(tile[0], tile.n)) found.store(true, std::memory_order_relaxed);
  });
  if (found) *found_inf.as<float>() = 1;
}

void multi_norm(const View *lists, int count, const View &out, double p) {
  const bool largest = std::isinf(p);
  std::vector<double> parts(Chunks(lists, count).count());
  for_tiles(lists, count, {0}, [&](auto &&tile, int, int64_t chunk) {
    using T = std::remove_reference_t<decltype(*tile[0])>;
    const T *x = tile[0];
    auto larger = [](auto a, auto b) { return m::maximum(a, b); };
    if (largest) parts[chunk] = m::maximum(parts[chunk], double(fold(tile.n, T(0), larger, [=](int64_t i) { return m::abs(x[i]); })));
    else with_norm_term<T>(p, [&](auto term) { parts[chunk] += sum_of<T>(tile.n, [=](int64_t i) { return term(x[i]); }); });
  });
  double total = 0;
  for (double part : parts) total = largest ? m::maximum(total, part) : total + part;
  *out.as<float>() = float(largest ? total : norm_root(total, p));
}

void multi_scale(const View *lists, int count, const View &factor) {
  for_tiles(lists, count, {0}, [factor = *factor.as<float>()](auto &&tile, int, int64_t) {
    scale_tile(tile[0], tile.n, {factor});
    tile.close(0);
  });
}

// An absent list is replaced by one that is there, and not used.
void multi_sgd(const View *lists, int count, const Sgd &given, const View *learning_rate, const View *found_inf) {
  if (overflowed(found_inf)) return;
  const Sgd hyper = with_rate(given, learning_rate);
  const View *steps = lists + (hyper.momentum != 0 ? 3 : 2) * count;
  for_tiles(lists, count, {0, 1, hyper.momentum != 0 ? 2 : 0}, [&](auto &&tile, int tensor, int64_t) {
    sgd_tile(tile, hyper, *steps[tensor].as<float>() == 0);
  });
  for (int i = 0; i < count; i++) *steps[i].as<float>() += 1;
}

void multi_adam(const View *lists, int count, const Adam &given, const View *learning_rate, const View *found_inf) {
  if (overflowed(found_inf)) return;
  const Adam hyper = with_rate(given, learning_rate);
  const View *steps = lists + 4 * count;
  std::vector<Rates> rates;
  for (int i = 0; i < count; i++) rates.emplace_back(hyper, *steps[i].as<float>() += 1);
  for_tiles(lists, count, {0, 1, 2, 3, hyper.amsgrad != 0 ? 5 : 3}, [&](auto &&tile, int tensor, int64_t) {
    adam_tile(tile, hyper, rates[tensor]);
  });
}

void update_scale(const View &scale, const View &tracker, const View &found_inf, const ScaleRule &rule) {
  float &value = *scale.as<float>();
  int32_t &clean = *tracker.as<int32_t>();
  if (overflowed(&found_inf)) {
    value = std::max(float(rule.floor), float(value * rule.backoff));
    clean = 0;
  } else if (++clean >= rule.interval && rule.interval > 0) {
    const float grown = std::min(float(value * rule.growth), float(rule.ceiling));
    if (std::isfinite(grown)) value = grown;
    clean = 0;
  }
}

}  // namespace castor::CASTOR_ISA
