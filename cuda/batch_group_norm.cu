// batchNorm and groupNorm of a (N, C, L): teams compute the count, mean and squared deviations of parts of the planes, a warp merges those
// of a set that shares statistics, and a last kernel computes y = (a - mean) rstd weight + bias.
#include "../kernels/table.h"
#include "batch_group_norm.h"

namespace castor::cuda {
namespace {

// ---- mean and variance -------------------------------------------------------------------------------------------------------

// The count, the mean, and the sum of the squared deviations from the mean of some values, which are merged as in Chan, Golub, LeVeque:
// Updating formulae and a pairwise algorithm for computing sample variances; 1979.
template <class T> struct Moments { T count, mean, squares; };

template <class T> __device__ __forceinline__ Moments<T> from_lane_xor(const Moments<T> &x, int distance) {
  return {cuda::from_lane_xor(x.count, distance), cuda::from_lane_xor(x.mean, distance), cuda::from_lane_xor(x.squares, distance)};
}

struct Together {
  template <class T> __device__ __forceinline__ Moments<T> operator()(const Moments<T> &x, const Moments<T> &y) const {
    const T count = x.count + y.count, share = count > 0 ? y.count / count : T(0), apart = y.mean - x.mean;
    return {count, x.mean + apart * share, x.squares + y.squares + apart * apart * share * x.count};
  }
};

template <class T, class Span> __device__ __forceinline__ Moments<T> moments_of(const T (&v)[TILE], const Span &span) {
  Moments<T> m{0, 0, 0};
  GPU_UNROLL for (int i = 0; i < TILE; i++) {
    m.count += span.has(i) ? T(1) : T(0);
    m.mean += v[i];
  }
  m.mean = m.count > 0 ? m.mean / m.count : T(0);
  GPU_UNROLL for (int i = 0; i < TILE; i++) m.squares += span.has(i) ? (v[i] - m.mean) * (v[i] - m.mean) : T(0);
  return m;
}

template <class T>
__global__ void __launch_bounds__(MOST_THREADS<T>, LEAST_BLOCKS<T>)
batch_group_norm_moments_kernel(const __grid_constant__ Rows<1> rows, const __grid_constant__ Tasks tasks, Moments<T> *parts) {
  const Team team(tasks.teams.width);
  const Tasks::Task task = tasks.task(team);
  Moments<T> sum{0, 0, 0};
  for (int i = task.first; i < task.end; i++) {
    const int64_t row = int64_t(i) * tasks.slots.divisor + task.slot;
    int64_t offset[1];
    rows.layout.offsets(uint32_t(row), offset);
    const auto x = rows.template line<AnyOf<T>>(0, offset);
    rows.template span<false>(team, row, offset).each_tile([&](const auto &s) {
      T v[TILE];
      load_line(v, x, s, T(0));
      sum = Together{}(sum, moments_of(v, s));
    }, blockIdx.y, gridDim.y);
  }
  sum = team.reduce(sum, Together{});
  const int64_t part = tasks.part(team, task);
  if (part >= 0) parts[part] = sum;
}

struct Running {
  PerChannel mean, variance;
  double momentum;

  __device__ __forceinline__ void track(const PerChannel &running, int64_t c, double batch) const {
    running.put(c, (1 - momentum) * running.get<double>(c, 0) + momentum * batch);
  }
};

// Merges the partial results of a set. A warp has a set.
template <class T>
__global__ void __launch_bounds__(512)
batch_group_norm_statistics_kernel(const Moments<T> *parts, int count, int64_t sets, Statistics<T> statistics, Running running,
                                   double eps) {
  const int64_t set = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  Moments<double> sum{0, 0, 0};
  for (int k = lane; set < sets && k < count; k += 32) {
    const Moments<T> part = parts[set * count + k];
    sum = Together{}(sum, Moments<double>{part.count, part.mean, part.squares});
  }
  sum = warp_reduce(sum, Together{});
  if (lane != 0 || set >= sets) return;
  statistics.mean[set] = T(sum.mean);
  statistics.rstd[set] = T(1 / std::sqrt(sum.squares / sum.count + eps));
  if (!running.mean.data) return;
  running.track(running.mean, set, sum.mean);
  running.track(running.variance, set, sum.squares / (sum.count - 1));
}

// ---- y = (x - mean) rstd weight + bias ---------------------------------------------------------------------------------------

template <class T> struct Affine {
  Sets sets;
  Statistics<T> statistics;
  PerChannel weight, bias;
  PerChannel mean, variance;  // statistics that are given; otherwise they are computed and written
  double eps;

  // The mean and the reciprocal deviation of a plane. A plane that `writes` also stores the statistics.
  __device__ __forceinline__ Pair<T> of(int64_t plane, int64_t channel, bool writes) const {
    const int64_t set = sets.set(plane);
    if (!mean.data) return {statistics.mean[set], statistics.rstd[set]};
    const Pair<T> given{mean.get<T>(channel, 0), T(1 / std::sqrt(variance.get<double>(channel, 1) + eps))};
    if (writes && plane == channel) statistics.mean[set] = given.a, statistics.rstd[set] = given.b;
    return given;
  }
};

template <class T>
__global__ void __launch_bounds__(MOST_THREADS<T>, LEAST_BLOCKS<T>)
batch_group_norm_kernel(const __grid_constant__ Rows<2> rows, const __grid_constant__ Affine<T> affine, int width) {
  const Team team(width);
  const int64_t row = int64_t(blockIdx.x) * team.count + team.number;
  if (row >= rows.count) return;
  int64_t offset[2];
  rows.layout.offsets(uint32_t(row), offset);
  const int64_t channel = affine.sets.channel(row);
  const Pair<T> statistics = affine.of(row, channel, team.member == 0 && blockIdx.y == 0);
  const T scale = statistics.b * affine.weight.template get<T>(channel, 1), shift = affine.bias.template get<T>(channel, 0);
  const auto y = rows.template line<AnyOf<T>>(0, offset), x = rows.template line<AnyOf<T>>(1, offset);
  rows.template span<false>(team, row, offset).each_tile([&](const auto &s) {
    T v[TILE];
    load_line(v, x, s, T(0));
    GPU_UNROLL for (int i = 0; i < TILE; i++) v[i] = (v[i] - statistics.a) * scale + shift;
    store_line(y, s, v);
  }, blockIdx.y, gridDim.y);
}

// ---- launchers ---------------------------------------------------------------------------------------------------------------

template <class T> void find_statistics(Context &context, const View &a, const Sets &sets, const Statistics<T> &statistics,
                                        const Running &running, double eps) {
  const Matrix matrix(a, sets.batch ? sets.planes : sets.count);
  const Rows<1> rows = rows_of<1>({&matrix});
  const Tasks tasks(context, rows, sets.count);
  const Scratch parts(context, sets.count * tasks.parts() * int64_t(sizeof(Moments<T>)));
  launch(context, "batch_group_norm", batch_group_norm_moments_kernel<T>, tasks.grid(), tasks.teams.threads, 0, rows, tasks,
         parts.as<Moments<T>>());
  const int threads = block_threads(256);
  launch(context, "batch_group_norm", batch_group_norm_statistics_kernel<T>, blocks_for(sets.count, threads / 32), threads,
         0, parts.as<const Moments<T>>(), tasks.parts(), sets.count, statistics, running, eps);
}

template <class T> void run(BatchGroupNorm op, const View &a, const View *weight, const View *bias, const View &out, const View &mean,
                            const View &rstd, const View *running_mean, const View *running_var, int groups, double momentum,
                            double eps) {
  Context &context = context_of(out);
  const Sets sets(op, a, groups);
  const bool given = op == BatchGroupNorm::batchNormEval;
  const Statistics<T> statistics{column<T>(&mean), column<T>(&rstd)};
  const PerChannel center(running_mean), variance(running_var), none(nullptr);
  if (!given) find_statistics(context, a, sets, statistics, {center, variance, momentum}, eps);
  const Matrix x(a, sets.planes), y(out, sets.planes);
  const Rows<2> rows = rows_of<2>({&y, &x});
  const Teams teams = make_teams(rows, false, PLANE_THREADS);
  const Affine<T> affine{sets, statistics, PerChannel(weight), PerChannel(bias), given ? center : none, given ? variance : none, eps};
  launch(context, "batch_group_norm", batch_group_norm_kernel<T>, grid_of(context, rows, teams), teams.threads, 0, rows, affine,
         teams.width);
}

}  // namespace

void batch_group_norm(int op, const View &a, const View *weight, const View *bias, const View &out, const View &mean, const View &rstd,
                      const View *running_mean, const View *running_var, int groups, double momentum, double eps) {
  const DType compute = compute_type(a.dtype);
  Floats x(a, compute, true), y(out, compute, true);
  x.read();
  const auto planes = compute == DType::f64 ? run<double> : run<float>;
  planes(BatchGroupNorm(op), x.view(), weight, bias, y.view(), mean, rstd, running_mean, running_var, groups, momentum, eps);
  y.write();
}

}  // namespace castor::cuda
