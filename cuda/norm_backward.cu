// The gradients of layerNorm and rmsNorm. A block has a group of rows and each team of it one row at a time, with TILE columns per thread,
// so that the sums of grad_weight and grad_bias stay in registers until the group is done.
#include "../kernels/ops.h"
#include "../kernels/table.h"
#include "norm.h"

namespace castor::cuda {
namespace {

// With x = (a - mean) rstd and g = grad weight:
// grad_a = rstd (g - drift - x slope), drift = mean(g), slope = mean(g x).
// rmsNorm has no drift. grad_weight and grad_bias are the sums of grad x and of grad over all rows, first over groups of rows, then over
// the groups.
template <class T> struct Task {
  Rows<4> rows;  // grad_a, grad, a, weight
  Statistics<T> statistics;
  bool weighted;
  bool input;       // whether grad_a is wanted
  T *sums;          // of groups, in the order (group, weight or bias, column); null if not wanted
  Pair<T> *slopes;  // drift and slope of each row, if a team cannot hold a row

  __device__ __forceinline__ T mean(int64_t row) const { return statistics.mean.data && row < rows.count ? statistics.mean[row] : T(0); }
  __device__ __forceinline__ T rstd(int64_t row) const { return row < rows.count ? statistics.rstd[row] : T(0); }
  __device__ __forceinline__ Pair<T> means(Pair<T> sum) const { return {statistics.mean.data ? sum.a / rows.n : T(0), sum.b / rows.n}; }
};

// The row of a team. Nothing is loaded for a row beyond the last.
template <bool WHOLE> struct Place {
  int64_t row, offset[4];
  Span<WHOLE> span;

  template <class T> __device__ __forceinline__ Place(const Task<T> &task, const Team &team, int64_t row, int column)
      : row(row), span(team, row < task.rows.count ? task.rows.n : 0, task.rows.packed, -column) {
    task.rows.layout.offsets(row < task.rows.count ? uint32_t(row) : 0, offset);
  }
};

// The elements of a row, as they are loaded.
template <class T, class S> struct Fetched {
  T mean, rstd;
  Loaded<T, S> grad, a;

  template <bool WHOLE> __device__ __forceinline__ Fetched(const Task<T> &task, const Place<WHOLE> &at)
      : mean(task.mean(at.row)), rstd(task.rstd(at.row)), grad(task.rows.template line<S>(1, at.offset), at.span, 0),
        a(task.rows.template line<S>(2, at.offset), at.span, 0) {}
};

// Adds up the sums of the teams of a block.
template <class T, bool WHOLE>
__device__ __forceinline__ void store_sums(T *sums, const Team &team, const Span<WHOLE> &columns, int first, const T (&weight)[TILE],
                                           const T (&bias)[TILE]) {
  GPU_DYN_SHARED(T, shared);
  const int each = TILE * team.width, n = min(each, columns.n - first);
  T *const own = shared + team.number * 2 * each;
  GPU_UNROLL for (int i = 0; i < TILE; i++) {
    if (!columns.has(i)) continue;
    const int column = columns.element(i / VECTOR_WIDTH, i % VECTOR_WIDTH) - first;
    own[column] = weight[i];
    own[each + column] = bias[i];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 2 * n; i += blockDim.x) {
    const int which = i / n, column = i % n;
    double sum = 0;
    for (int t = 0; t < team.count; t++) sum += shared[(t * 2 + which) * each + column];
    sums[which * columns.n + first + column] = T(sum);
  }
}

// The block size, such that a thread may use 128 registers where these are enough, else 255.
template <class S> constexpr int HOLDERS = std::is_same_v<S, Half> || std::is_same_v<S, BFloat> ? 512 : 256;

// A block has a group of rows, a thread TILE columns of them. Rows of whole vectors are loaded while the rows before them are computed.
template <class T, class S, bool WHOLE>
__global__ void __launch_bounds__(HOLDERS<S>, 256 / HOLDERS<S>) norm_backward_kernel(const __grid_constant__ Task<T> task, int width) {
  const Team team(width);
  const int column = WHOLE ? 0 : blockIdx.y * TILE * width;
  const Span<WHOLE> columns(team, task.rows.n, task.rows.packed, -column);
  const int64_t none[4] = {}, step = int64_t(gridDim.x) * team.count;
  T w[TILE], weight_sum[TILE] = {}, bias_sum[TILE] = {};
  const auto load_weight = [&] {
    if (task.weighted) load_line(w, task.rows.template line<AnyOf<T>>(3, none), columns, T(0));
    else GPU_UNROLL for (int i = 0; i < TILE; i++) w[i] = 1;
  };
  if constexpr (WHOLE) load_weight();

  int64_t row = int64_t(blockIdx.x) * team.count + team.number;
  Place<WHOLE> at(task, team, row, column);
  Fetched<T, S> fetched(task, at);
  for (int64_t begin = int64_t(blockIdx.x) * team.count; begin < task.rows.count; begin += step) {
    const T mean = fetched.mean, rstd = fetched.rstd;
    T g[TILE], x[TILE];
    GPU_UNROLL for (int i = 0; i < TILE; i++) {
      g[i] = fetched.grad[i];
      x[i] = (fetched.a[i] - mean) * rstd;
    }
    const Place<WHOLE> now = at;
    at = Place<WHOLE>(task, team, row += step, column);
    if constexpr (WHOLE) fetched = Fetched<T, S>(task, at);
    else load_weight();
    Pair<T> sum{0, 0};
    GPU_UNROLL for (int i = 0; i < TILE; i++) {
      weight_sum[i] += g[i] * x[i];
      bias_sum[i] += g[i];
      g[i] *= w[i];
      sum = {sum.a + g[i], sum.b + g[i] * x[i]};
    }
    if (task.input) {
      const Pair<T> slopes = !WHOLE && task.slopes ? task.slopes[min(now.row, task.rows.count - 1)] : task.means(team.reduce(sum, Sum{}));
      GPU_UNROLL for (int i = 0; i < TILE; i++) g[i] = rstd * (g[i] - slopes.a - x[i] * slopes.b);
      store_line(task.rows.template line<S>(0, now.offset), now.span, g);
    }
    if constexpr (!WHOLE) fetched = Fetched<T, S>(task, at);
  }
  if (task.sums) store_sums(task.sums + int64_t(blockIdx.x) * 2 * task.rows.n, team, columns, column, weight_sum, bias_sum);
}

template <class T> __global__ void __launch_bounds__(MOST_THREADS<T>, LEAST_BLOCKS<T>)
    norm_slopes_kernel(const __grid_constant__ Task<T> task, int width) {
  const Team team(width);
  const int64_t row = int64_t(blockIdx.x) * team.count + team.number;
  const Place<false> at(task, team, row, 0);
  const T mean = task.mean(at.row), rstd = task.rstd(at.row);
  Pair<T> sum{0, 0};
  at.span.each_tile([&](const Span<false> &s) {
    T g[TILE], x[TILE], w[TILE];
    load_line(g, task.rows.template line<AnyOf<T>>(1, at.offset), s, T(0));
    load_line(x, task.rows.template line<AnyOf<T>>(2, at.offset), s, T(0));
    if (task.weighted) load_line(w, task.rows.template line<AnyOf<T>>(3, at.offset), s, T(0));
    GPU_UNROLL for (int i = 0; i < TILE; i++) {
      const T weighted = task.weighted ? g[i] * w[i] : g[i];
      sum = {sum.a + weighted, sum.b + weighted * ((x[i] - mean) * rstd)};
    }
  });
  sum = task.means(team.reduce(sum, Sum{}));
  if (team.member == 0 && row < task.rows.count) task.slopes[row] = sum;
}

// ---- the sums over the groups -------------------------------------------------------------------------------------------------

struct Parameters {
  struct { char *data; int64_t stride; DType dtype; } grad[2];  // of weight and bias; null if not wanted
};

// A lane has a column, and each warp of a block adds up a part of the groups.
template <class T> __global__ void __launch_bounds__(1024)
    norm_parameters_kernel(const __grid_constant__ Parameters parameters, const T *sums, int groups, int n) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, which = blockIdx.y;
  const int column = blockIdx.x * 32 + lane;
  double sum = 0;
  if (column < n)
    for (int group = warp; group < groups; group += warps) sum += sums[(int64_t(group) * 2 + which) * n + column];
  GPU_SHARED(double, part, [32][32]);
  part[warp][lane] = sum;
  __syncthreads();
  const auto &to = parameters.grad[which];
  if (warp > 0 || column >= n || !to.data) return;
  for (int i = 1; i < warps; i++) sum += part[i][lane];
  store(to.data, to.dtype, column * to.stride, T(sum));
}

// ---- launchers ------------------------------------------------------------------------------------------------------------------

bool whole_and_alike(const Rows<4> &rows) {
  const DType dtype = rows.operand[0].dtype;
  return rows.whole && dtype == rows.operand[1].dtype && dtype == rows.operand[2].dtype;
}

template <class T> auto kernel_for(const Rows<4> &rows, bool held) {
  if constexpr (std::is_same_v<T, float>) {
    const DType dtype = rows.operand[0].dtype;
    if (held && whole_and_alike(rows)) {
      if (dtype == DType::f32) return norm_backward_kernel<T, float, true>;
      if (dtype == DType::f16) return norm_backward_kernel<T, Half, true>;
      return norm_backward_kernel<T, BFloat, true>;
    }
  }
  return norm_backward_kernel<T, AnyOf<T>, false>;
}

// About as many groups as there are blocks that run at the same time, so that there are few.
int groups_of(const Context &context, const Rows<4> &rows, const Teams &teams) {
  const int64_t most = context.multiprocessors * std::max(1, 512 / teams.threads);
  return int(std::clamp<int64_t>(blocks_for(rows.count, teams.threads / teams.width), 1, most));
}

template <class T> void run(const View &grad, const View &a, const View *weight, const View *mean, const View &rstd, const View *grad_a,
                            const View *grad_weight, const View *grad_bias) {
  Context &context = context_of(a);
  const RowOfAll w(weight ? *weight : a, a);
  Rows<4> rows = rows_of<4>({grad_a ? grad_a : &grad, &grad, &a, weight ? &w : &a});
  rows.packed = rows.packed && rows.aligned;  // a thread has the same columns in every row
  Teams teams = make_teams(rows, false, whole_and_alike(rows) && size_of(a.dtype) == 2 ? HOLDERS<Half> : HOLDERS<float>);
  if (!teams.held) teams = make_teams(rows, false, HOLDERS<float>);  // the kernel for rows of any length has blocks of at most so many
  const int groups = groups_of(context, rows, teams), n = rows.n;
  const bool sums = grad_weight || grad_bias, slopes = grad_a && !teams.held;
  const Scratch sums_memory(context, sums ? groups * 2 * n * int64_t(sizeof(T)) : 0);
  const Scratch slopes_memory(context, slopes ? rows.count * int64_t(sizeof(Pair<T>)) : 0);
  const Task<T> task{rows, {column<T>(mean), column<T>(&rstd)}, weight != nullptr, grad_a != nullptr, sums_memory.template as<T>(),
                     slopes_memory.template as<Pair<T>>()};
  if (slopes) launch(context, "norm_backward", norm_slopes_kernel<T>, teams.grid(), teams.threads, 0, task, teams.width);
  launch(context, "norm_backward", kernel_for<T>(rows, teams.held), Grid(groups, blocks_for(n, TILE * teams.width)),
         teams.threads, sums ? TILE * teams.threads * 2 * int64_t(sizeof(T)) : 0, task, teams.width);
  if (!sums) return;
  Parameters parameters{};
  for (int which : {0, 1})
    if (const View *to = which == 0 ? grad_weight : grad_bias) parameters.grad[which] = {to->as<char>(), to->stride[0], to->dtype};
  launch(context, "norm_backward", norm_parameters_kernel<T>, Grid(blocks_for(n, 32), 2), block_threads(256), 0, parameters,
         sums_memory.template as<const T>(), groups, n);
}

}  // namespace

void norm_backward(int op, const View &grad, const View &a, const View *weight, const View *mean, const View &rstd, const View *grad_a,
                   const View *grad_weight, const View *grad_bias) {
  if (a.numel() == 0) {
    for (const View *sum : {grad_weight, grad_bias})
      if (sum && sum->numel() > 0) fill(*sum, 0);
    return;
  }
  const DType compute = compute_type(a.dtype);
  Floats g(grad, compute), x(a, compute), w(weight ? *weight : a, compute), to(grad_a ? *grad_a : a, compute);
  for (Floats *input : {&g, &x, &w}) input->read();
  const auto rows = compute == DType::f64 ? run<double> : run<float>;
  rows(g.view(), x.view(), weight ? &w.view() : nullptr, Norm(op) == Norm::layerNorm ? mean : nullptr, rstd, grad_a ? &to.view() : nullptr,
       grad_weight, grad_bias);
  if (grad_a) to.write();
}

}  // namespace castor::cuda
