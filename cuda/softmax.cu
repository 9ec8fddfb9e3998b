// softmax and logSoftmax along one axis, and their gradients. A team computes a row with TILE elements per thread. A row that fits in the
// registers of its team is read from memory once (rows.h); a longer one is read twice, with a running maximum and sum (exponentials.h).
#include "../kernels/ops.h"
#include "../kernels/table.h"
#include "exponentials.h"
#include "rows.h"

namespace castor::cuda {
namespace {

// A row in which every element is -inf, or that contains inf or NaN, gives NaN.
template <class T, class S, class Team, bool WHOLE> __global__ void __launch_bounds__(MOST_THREADS<T>, LEAST_BLOCKS<T>)
    softmax_kernel(const __grid_constant__ Rows<2> rows, int width, bool held, bool log) {
  const Team team(width);
  const int64_t row = int64_t(blockIdx.x) * team.count + team.number;
  int64_t offset[2];
  rows.layout.offsets(row < rows.count ? uint32_t(row) : 0, offset);
  const auto span = rows.template span<WHOLE>(team, row, offset);
  const auto y = rows.template line<S>(0, offset);
  const auto x = rows.template line<S>(1, offset);

  T v[TILE];
  Exponentials<T> all;
  span.each_tile([&](const auto &s) {
    load_line(v, x, s, LOWEST<T>);
    absorb<S>(all, v);
  });
  all = team.reduce(all, JoinExponentials<S>{});
  const T sum = all.sum + (all.top - all.top), factor = 1 / sum, shift = std::log(sum);
  span.each_tile([&](const auto &s) {
    if (!held) load_line(v, x, s, LOWEST<T>);
    GPU_UNROLL for (int i = 0; i < TILE; i++) {
      v[i] -= all.top;
      v[i] = log ? v[i] - shift : exponential<S>(v[i]) * factor;
    }
    store_line(y, s, v);
  });
}

// softmax: y (grad - sum(grad y)). logSoftmax: grad - e^y sum(grad).
template <class T, class S, class Team, bool WHOLE> __global__ void __launch_bounds__(MOST_THREADS<T>, LEAST_BLOCKS<T>)
    softmax_backward_kernel(const __grid_constant__ Rows<3> rows, int width, bool held, bool log) {
  const Team team(width);
  const int64_t row = int64_t(blockIdx.x) * team.count + team.number;
  int64_t offset[3];
  rows.layout.offsets(row < rows.count ? uint32_t(row) : 0, offset);
  const auto span = rows.template span<WHOLE>(team, row, offset);
  const auto out = rows.template line<S>(0, offset), grad = rows.template line<S>(1, offset), value = rows.template line<S>(2, offset);

  T g[TILE], y[TILE], sum = 0;
  auto load = [&](const auto &s) {
    const Loaded<T, S> of_grad(grad, s, 0), of_value(value, s, 0);
    GPU_UNROLL for (int i = 0; i < TILE; i++) {
      g[i] = of_grad[i];
      y[i] = of_value[i];
    }
  };
  span.each_tile([&](const auto &s) {
    load(s);
    T part = 0;
    GPU_UNROLL for (int i = 0; i < TILE; i++) part += log ? g[i] : g[i] * y[i];
    sum += part;
  });
  sum = team.reduce(sum, Sum{});
  span.each_tile([&](const auto &s) {
    if (!held) load(s);
    GPU_UNROLL for (int i = 0; i < TILE; i++) g[i] = log ? g[i] - exponential<S>(y[i]) * sum : y[i] * (g[i] - sum);
    store_line(out, s, g);
  });
}

// Rows of whole vectors, in the dtypes that networks use, have kernels of their own. Any is for the others.
template <bool SIDE> auto forward_kernel(const Rows<2> &rows, bool held) {
  using Members = std::conditional_t<SIDE, SideTeam, Team>;
  const DType dtype = rows.operand[0].dtype;
  if (dtype == DType::f64) return softmax_kernel<double, double, Members, false>;
  if constexpr (!SIDE) {
    if (rows.whole && held && same_dtype(rows)) {
      if (dtype == DType::f32) return softmax_kernel<float, float, Team, true>;
      if (dtype == DType::f16) return softmax_kernel<float, Half, Team, true>;
      return softmax_kernel<float, BFloat, Team, true>;
    }
  }
  return softmax_kernel<float, Any, Members, false>;
}

template <bool SIDE> auto backward_kernel(const Rows<3> &rows, bool held) {
  using Members = std::conditional_t<SIDE, SideTeam, Team>;
  const DType dtype = rows.operand[0].dtype;
  if (dtype == DType::f64) return softmax_backward_kernel<double, double, Members, false>;
  if constexpr (!SIDE) {
    if (rows.whole && held && same_dtype(rows)) {
      if (dtype == DType::f32) return softmax_backward_kernel<float, float, Team, true>;
      if (dtype == DType::f16) return softmax_backward_kernel<float, Half, Team, true>;
      return softmax_backward_kernel<float, BFloat, Team, true>;
    }
  }
  return softmax_backward_kernel<float, Any, Members, false>;
}

template <int N, class F> void run(const char *name, const View *const (&views)[N], int axis, int op, F kernel_for) {
  for_rows(views, axis, [&](const Rows<N> &rows) {
    const bool side = side_by_side(rows);
    const Teams teams = make_teams(rows, side);
    launch(context_of(*views[0]), name, kernel_for(rows, side, teams.held), teams.grid(), teams.threads, 0, rows, teams.width, teams.held,
           Softmax(op) == Softmax::logSoftmax);
  });
}

}  // namespace

void softmax(int op, const View &a, const View &out, int axis) {
  const DType compute = compute_type(a.dtype, out.dtype);
  Floats x(a, compute), y(out, compute);
  x.read();
  run<2>("softmax", {&y.view(), &x.view()}, axis, op, [](const Rows<2> &rows, bool side, bool held) {
    return side ? forward_kernel<true>(rows, held) : forward_kernel<false>(rows, held);
  });
  y.write();
}

void softmax_backward(int op, const View &grad, const View &y, const View &out, int axis) {
  const DType compute = compute_type(grad.dtype, y.dtype, out.dtype);
  Floats g(grad, compute), value(y, compute), to(out, compute);
  g.read();
  value.read();
  run<3>("softmax_backward", {&to.view(), &g.view(), &value.view()}, axis, op, [](const Rows<3> &rows, bool side, bool held) {
    return side ? backward_kernel<true>(rows, held) : backward_kernel<false>(rows, held);
  });
  to.write();
}

}  // namespace castor::cuda
