// Cross-entropy of logits (rows, classes) with class indices and label smoothing, and its gradient. A team reads a row once, with a
// running maximum and sum of exponentials (exponentials.h). In the gradient, several blocks may share a long row.
#include "../kernels/table.h"
#include "exponentials.h"
#include "rows.h"

namespace castor::cuda {
namespace {

struct Targets {
  const char *data;
  int64_t stride;
  DType dtype;
  int64_t ignore;
  Fault *fault;

  // The class of a row, or -1 for a row that is ignored.
  __device__ __forceinline__ int of(int64_t row, int classes) const {
    const int64_t t = load<int64_t>(data, dtype, row * stride);
    if (t == ignore) return -1;
    if (t >= 0 && t < classes) return int(t);
    report(t, classes, Site::crossEntropy, fault);
    return -1;
  }
};

Targets targets_of(const View &target, int64_t ignore) {
  return {target.as<const char>(), target.stride[0], target.dtype, ignore, context_of(target).fault};
}

// loss = (1 - smoothing) (logsumexp - x[target]) + smoothing (logsumexp - mean(x)). Each row is read once.
template <class T, class S, class Team> __global__ void __launch_bounds__(MOST_THREADS<T>, LEAST_BLOCKS<T>)
    cross_entropy_kernel(const __grid_constant__ Rows<1> rows, Targets targets, Column<T> loss, Column<double> logsumexp, double smoothing,
                         int width) {
  const Team team(width);
  const int64_t row = int64_t(blockIdx.x) * team.count + team.number;
  int64_t offset[1];
  rows.layout.offsets(row < rows.count ? uint32_t(row) : 0, offset);
  const auto x = rows.template line<S>(0, offset);

  Exponentials<T> all;
  T sum = 0;
  rows.template span<false>(team, row, offset).each_tile([&](const auto &s) {
    T v[TILE];
    load_line(v, x, s, LOWEST<T>);
    absorb<S>(all, v);
    if (smoothing == 0) return;
    T part = 0;
    GPU_UNROLL for (int i = 0; i < TILE; i++) part += s.has(i) ? v[i] : T(0);
    sum += part;
  });
  all = team.reduce(all, JoinExponentials<S>{});
  if (smoothing != 0) sum = team.reduce(sum, Sum{});
  if (team.member != 0 || row >= rows.count) return;

  const double total = double(all.base()) + std::log(double(all.sum));
  const int target = targets.of(row, rows.n);
  double value = 0;
  if (target >= 0) {
    value = (1 - smoothing) * (total - double(load_one<T>(x, target)));
    if (smoothing != 0) value += smoothing * (total - double(sum) / rows.n);
  }
  loss[row] = T(value);
  logsumexp[row] = total;
}

struct Gradient {
  const char *data;
  int64_t stride;
  DType dtype;
};

// out = grad (e^(x - logsumexp) - smoothing / n - (1 - smoothing at the target)). Several blocks may share a row. The logsumexp is given in
// two parts, because the error of rounding it to a float would scale every probability.
template <class T, class S, class Team> __global__ void __launch_bounds__(MOST_THREADS<T>, LEAST_BLOCKS<T>)
    cross_entropy_backward_kernel(const __grid_constant__ Rows<2> rows, Targets targets, Gradient grad, Column<double> logsumexp,
                                  T smoothing, int width) {
  const Team team(width);
  const int64_t row = int64_t(blockIdx.x) * team.count + team.number;
  if (row >= rows.count) return;
  int64_t offset[2];
  rows.layout.offsets(uint32_t(row), offset);
  const int target = targets.of(row, rows.n);
  const double logarithm = logsumexp[row];
  const T g = load<T>(grad.data, grad.dtype, row * grad.stride), shift = T(logarithm);
  const T rest = std::isfinite(shift) ? T(logarithm - double(shift)) : T(0);
  const T spread = smoothing / T(rows.n), peak = 1 - smoothing;
  rows.template span<false>(team, row, offset).each_tile([&](const auto &s) {
    T v[TILE];
    load_line(v, rows.template line<S>(1, offset), s, T(0));
    GPU_UNROLL for (int i = 0; i < TILE; i++) {
      const bool here = s.element(i / VECTOR_WIDTH, i % VECTOR_WIDTH) == target;
      v[i] = target < 0 ? T(0) : g * (exponential<S>((v[i] - shift) - rest) - (here ? peak : T(0)) - spread);
    }
    store_line(rows.template line<S>(0, offset), s, v);
  }, blockIdx.y, gridDim.y);
}

// ---- launchers ------------------------------------------------------------------------------------------------------------------

template <class T, class Members> auto forward_kernel(const Rows<1> &rows) {
  const DType dtype = rows.operand[0].dtype;
  if constexpr (std::is_same_v<T, float> && std::is_same_v<Members, Team>) {
    if (dtype == DType::f32) return cross_entropy_kernel<T, float, Members>;
    if (dtype == DType::f16) return cross_entropy_kernel<T, Half, Members>;
    return cross_entropy_kernel<T, BFloat, Members>;
  } else {
    return cross_entropy_kernel<T, AnyOf<T>, Members>;
  }
}

template <class T, class Members> auto backward_kernel(const Rows<2> &rows) {
  if constexpr (std::is_same_v<T, float> && std::is_same_v<Members, Team>) {
    const DType dtype = rows.operand[0].dtype;
    const bool same = same_dtype(rows);
    if (same && dtype == DType::f32) return cross_entropy_backward_kernel<T, float, Members>;
    if (same && dtype == DType::f16) return cross_entropy_backward_kernel<T, Half, Members>;
    if (same) return cross_entropy_backward_kernel<T, BFloat, Members>;
  }
  return cross_entropy_backward_kernel<T, AnyOf<T>, Members>;
}

template <class T>
void losses(const View &logits, const View &target, const View &loss, const View &logsumexp, int64_t ignore, double smoothing) {
  const Rows<1> rows = rows_of<1>({&logits});
  const bool side = side_by_side(rows);
  const Teams teams = make_teams(rows, side);
  launch(context_of(logits), "cross_entropy", side ? forward_kernel<T, SideTeam>(rows) : forward_kernel<T, Team>(rows), teams.grid(),
         teams.threads, 0, rows, targets_of(target, ignore), column<T>(&loss), column<double>(&logsumexp), smoothing, teams.width);
}

template <class T> void gradients(const View &grad, const View &logits, const View &target, const View &logsumexp, const View &out,
                                  int64_t ignore, double smoothing) {
  const Rows<2> rows = rows_of<2>({&out, &logits});
  const bool side = side_by_side(rows);
  const Teams teams = make_teams(rows, side);
  Grid grid = teams.grid();
  grid.y = std::clamp<int64_t>(blocks_for(rows.n, TILE * teams.width), 1, 1024);
  launch(context_of(logits), "cross_entropy_backward", side ? backward_kernel<T, SideTeam>(rows) : backward_kernel<T, Team>(rows), grid,
         teams.threads, 0, rows, targets_of(target, ignore), Gradient{grad.as<const char>(), grad.stride[0], grad.dtype},
         column<double>(&logsumexp), T(smoothing), teams.width);
}

}  // namespace

void cross_entropy(const View &logits, const View &target, const View &loss, const View &logsumexp, int64_t ignore, double smoothing) {
  const auto kernel = logits.dtype == DType::f64 ? losses<double> : losses<float>;
  kernel(logits, target, loss, logsumexp, ignore, smoothing);
}

void cross_entropy_backward(const View &grad, const View &logits, const View &target, const View &logsumexp, const View &out,
                            int64_t ignore, double smoothing) {
  Floats to(out, compute_type(logits.dtype));
  const auto kernel = logits.dtype == DType::f64 ? gradients<double> : gradients<float>;
  kernel(grad, logits, target, logsumexp, to.view(), ignore, smoothing);
  to.write();
}

}  // namespace castor::cuda
