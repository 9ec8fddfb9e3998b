// The gradients of batchNorm and groupNorm: teams sum grad and grad x over parts of the planes, a warp merges the sums of each set and
// channel, and a last kernel computes grad_a.
#include "../kernels/table.h"
#include "batch_group_norm.h"

namespace castor::cuda {
namespace {

// With x = (a - mean) rstd and g = grad weight:
// grad_a = rstd (g - drift - x slope), grad_bias = sum(grad), grad_weight = sum(grad x).
// drift and slope are the means of g and of g x over a set, or 0 if the statistics were given. The sums run over a channel.
template <class T> struct Task {
  Sets sets;
  Statistics<T> statistics;
  PerChannel weight;
};

// ---- the sums of grad and of grad x, for each channel of the batch or each plane ---------------------------------------------

template <class T>
__global__ void __launch_bounds__(PLANE_THREADS, sizeof(T) == 8 ? 2 : 3)
batch_group_norm_sums_kernel(const __grid_constant__ Rows<2> rows, const __grid_constant__ Tasks tasks,
                             const __grid_constant__ Task<T> task, Pair<T> *parts) {
  const Team team(tasks.teams.width);
  const Tasks::Task own = tasks.task(team);
  const int64_t set = task.sets.set(own.slot);
  const T mean = task.statistics.mean[set];
  Pair<T> sum{0, 0};
  for (int i = own.first; i < own.end; i++) {
    const int64_t row = int64_t(i) * tasks.slots.divisor + own.slot;
    int64_t offset[2];
    rows.layout.offsets(uint32_t(row), offset);
    const auto grad = rows.template line<AnyOf<T>>(0, offset), a = rows.template line<AnyOf<T>>(1, offset);
    rows.template span<false>(team, row, offset).each_tile([&](const auto &s) {
      const Loaded<T, AnyOf<T>> g(grad, s, T(0)), x(a, s, T(0));
      Pair<T> part{0, 0};
      GPU_UNROLL for (int k = 0; k < TILE; k++) part = {part.a + g[k], part.b + g[k] * (x[k] - mean)};
      sum = Sum{}(sum, part);
    }, blockIdx.y, gridDim.y);
  }
  sum = team.reduce(sum, Sum{});
  const int64_t part = tasks.part(team, own);
  if (part >= 0) parts[part] = {sum.a, sum.b * task.statistics.rstd[set]};
}

// ---- the results that are computed from these sums ---------------------------------------------------------------------------

template <class T> struct Totals {
  const Pair<T> *parts;
  int count;              // number of partial sums of a slot
  int64_t slots;
  Pair<T> *slopes;        // drift and slope of each set; null if not wanted
  PerChannel grad_weight, grad_bias;
};

// A warp has the slots of a set (blockIdx.y = 0) or of a channel (blockIdx.y = 1).
template <class T>
__global__ void __launch_bounds__(512)
batch_group_norm_totals_kernel(const __grid_constant__ Totals<T> totals, const __grid_constant__ Task<T> task) {
  const int64_t number = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32, channels = task.sets.channels.divisor;
  const int lane = threadIdx.x % 32;
  const bool of_set = blockIdx.y == 0;
  if (number >= (of_set ? task.sets.count : channels)) return;
  const int64_t group = task.sets.group.divisor, first = of_set ? number * group : number, step = of_set ? 1 : channels;
  const int64_t parts = (of_set ? group : totals.slots / channels) * totals.count;
  Pair<double> sum{0, 0};
  for (int64_t k = lane; k < parts; k += 32) {
    const int64_t slot = first + k / totals.count * step;
    const Pair<T> part = totals.parts[slot * totals.count + k % totals.count];
    const double weight = of_set ? task.weight.template get<double>(task.sets.channel(slot), 1) : 1;
    sum = {sum.a + weight * part.a, sum.b + weight * part.b};
  }
  sum = warp_reduce(sum, Sum{});
  if (lane != 0) return;
  if (of_set) {
    if (totals.slopes) totals.slopes[number] = {T(sum.a / task.sets.shared), T(sum.b / task.sets.shared)};
  } else {
    if (totals.grad_bias.data) totals.grad_bias.put(number, T(sum.a));
    if (totals.grad_weight.data) totals.grad_weight.put(number, T(sum.b));
  }
}

template <class T>
__global__ void __launch_bounds__(MOST_THREADS<T>, LEAST_BLOCKS<T>)
batch_group_norm_backward_kernel(const __grid_constant__ Rows<3> rows, const __grid_constant__ Task<T> task, const Pair<T> *slopes,
                                 int width) {
  const Team team(width);
  const int64_t row = int64_t(blockIdx.x) * team.count + team.number;
  if (row >= rows.count) return;
  int64_t offset[3];
  rows.layout.offsets(uint32_t(row), offset);
  const int64_t set = task.sets.set(row);
  const T mean = task.statistics.mean[set], rstd = task.statistics.rstd[set];
  const T weight = task.weight.template get<T>(task.sets.channel(row), 1);
  const Pair<T> slope = slopes ? slopes[set] : Pair<T>{0, 0};
  const auto grad = rows.template line<AnyOf<T>>(1, offset), a = rows.template line<AnyOf<T>>(2, offset);
  rows.template span<false>(team, row, offset).each_tile([&](const auto &s) {
    const Loaded<T, AnyOf<T>> g(grad, s, T(0)), x(a, s, T(0));
    T v[TILE];
    GPU_UNROLL for (int i = 0; i < TILE; i++) v[i] = rstd * (g[i] * weight - slope.a - (x[i] - mean) * rstd * slope.b);
    store_line(rows.template line<AnyOf<T>>(0, offset), s, v);
  }, blockIdx.y, gridDim.y);
}

// ---- launchers ---------------------------------------------------------------------------------------------------------------

template <class T> void add_up(Context &context, const View &grad, const View &a, const Task<T> &task, Pair<T> *slopes,
                               const View *grad_weight, const View *grad_bias) {
  const Sets &sets = task.sets;
  const int64_t slots = sets.batch ? sets.count : sets.planes, channels = sets.channels.divisor;
  const Matrix g(grad, sets.planes), x(a, sets.planes);
  const Rows<2> rows = rows_of<2>({&g, &x});
  const Tasks tasks(context, rows, slots);
  const Scratch parts(context, slots * tasks.parts() * int64_t(sizeof(Pair<T>)));
  launch(context, "batch_group_norm_backward", batch_group_norm_sums_kernel<T>, tasks.grid(), tasks.teams.threads, 0, rows, tasks, task,
         parts.as<Pair<T>>());
  const Totals<T> totals{parts.as<const Pair<T>>(), tasks.parts(), slots, slopes, PerChannel(grad_weight), PerChannel(grad_bias)};
  const int threads = block_threads(256);
  const Grid grid(blocks_for(std::max(sets.count, channels), threads / 32), 2);
  launch(context, "batch_group_norm_backward", batch_group_norm_totals_kernel<T>, grid, threads, 0, totals, task);
}

template <class T> void run(BatchGroupNorm op, const View &grad, const View &a, const View *weight, const View &mean, const View &rstd,
                            const View *grad_a, const View *grad_weight, const View *grad_bias, int groups) {
  Context &context = context_of(a);
  const Task<T> task{Sets(op, a, groups), {column<T>(&mean), column<T>(&rstd)}, PerChannel(weight)};
  const bool sloped = grad_a && op != BatchGroupNorm::batchNormEval;
  const Scratch slopes(context, sloped ? task.sets.count * int64_t(sizeof(Pair<T>)) : 0);
  if (sloped || grad_weight || grad_bias) add_up(context, grad, a, task, slopes.as<Pair<T>>(), grad_weight, grad_bias);
  if (!grad_a) return;
  const Matrix y(*grad_a, task.sets.planes), g(grad, task.sets.planes), x(a, task.sets.planes);
  const Rows<3> rows = rows_of<3>({&y, &g, &x});
  const Teams teams = make_teams(rows, false, PLANE_THREADS);
  launch(context, "batch_group_norm_backward", batch_group_norm_backward_kernel<T>, grid_of(context, rows, teams), teams.threads, 0, rows,
         task, slopes.as<const Pair<T>>(), teams.width);
}

}  // namespace

void batch_group_norm_backward(int op, const View &grad, const View &a, const View *weight, const View &mean, const View &rstd,
                               const View *grad_a, const View *grad_weight, const View *grad_bias, int groups) {
  const DType compute = compute_type(a.dtype);
  Floats g(grad, compute, true), x(a, compute, true), to(grad_a ? *grad_a : a, compute, true);
  for (Floats *input : {&g, &x}) input->read();
  const auto planes = compute == DType::f64 ? run<double> : run<float>;
  planes(BatchGroupNorm(op), g.view(), x.view(), weight, mean, rstd, grad_a ? &to.view() : nullptr, grad_weight, grad_bias, groups);
  if (grad_a) to.write();
}

}  // namespace castor::cuda
