// layerNorm and rmsNorm. A team of up to 256 or 512 threads computes a row, with TILE elements per thread. A row that fits in the
// registers of its team is read from memory once, a longer one once for the mean, once for the variance and once for the result (rows.h).
#include "../kernels/ops.h"
#include "../kernels/table.h"
#include "norm.h"

namespace castor::cuda {
namespace {

// y = (x - mean) rstd weight + bias. The operands are out, a, weight, bias.
template <class T, class S, bool WHOLE>
__global__ void __launch_bounds__(MOST_THREADS<T>, LEAST_BLOCKS<T>)
norm_kernel(const __grid_constant__ Rows<4> rows, Statistics<T> statistics, T eps, int width, bool held, bool weighted, bool biased) {
  const Team team(width);
  const int64_t row = int64_t(blockIdx.x) * team.count + team.number;
  int64_t offset[4];
  rows.layout.offsets(row < rows.count ? uint32_t(row) : 0, offset);
  const auto span = rows.template span<WHOLE>(team, row, offset);
  const auto x = rows.template line<S>(1, offset);

  T v[TILE], mean = 0, squares = 0;
  span.each_tile([&](const auto &s) {
    load_line(v, x, s, T(0));
    T part = 0;
    GPU_UNROLL for (int i = 0; i < TILE; i++) part += v[i];
    mean += part;
  });
  mean = statistics.mean.data ? team.reduce(mean, Sum{}) / rows.n : T(0);
  span.each_tile([&](const auto &s) {
    if (!held) load_line(v, x, s, T(0));
    T part = 0;
    GPU_UNROLL for (int i = 0; i < TILE; i++) part += s.has(i) ? (v[i] - mean) * (v[i] - mean) : T(0);
    squares += part;
  });
  const T rstd = 1 / std::sqrt(team.reduce(squares, Sum{}) / rows.n + eps);

  const auto y = rows.template line<S>(0, offset);
  const auto weight = rows.template line<AnyOf<T>>(2, offset), bias = rows.template line<AnyOf<T>>(3, offset);
  span.each_tile([&](const auto &s) {
    if (!held) load_line(v, x, s, T(0));
    GPU_UNROLL for (int i = 0; i < TILE; i++) v[i] = (v[i] - mean) * rstd;
    GPU_UNROLL for (int k = 0; k < TILE_VECTORS; k++) {
      if (weighted) {
        const LoadedVector<T, AnyOf<T>> w(weight, s, k, 0);
        GPU_UNROLL for (int j = 0; j < VECTOR_WIDTH; j++) v[k * VECTOR_WIDTH + j] *= w[j];
      }
      if (biased) {
        const LoadedVector<T, AnyOf<T>> b(bias, s, k, 0);
        GPU_UNROLL for (int j = 0; j < VECTOR_WIDTH; j++) v[k * VECTOR_WIDTH + j] += b[j];
      }
    }
    store_line(y, s, v);
  });
  if (team.member != 0 || row >= rows.count) return;
  if (statistics.mean.data) statistics.mean[row] = mean;
  statistics.rstd[row] = rstd;
}

// Rows of whole vectors, in the dtypes that networks use, have kernels of their own.
template <class T> auto kernel_for(const Rows<4> &rows, bool held) {
  const DType dtype = rows.operand[0].dtype;
  if constexpr (std::is_same_v<T, float>) {
    if (rows.whole && held && dtype == rows.operand[1].dtype) {
      if (dtype == DType::f32) return norm_kernel<T, float, true>;
      if (dtype == DType::f16) return norm_kernel<T, Half, true>;
      return norm_kernel<T, BFloat, true>;
    }
  }
  return norm_kernel<T, AnyOf<T>, false>;
}

template <class T>
void run(const View &a, const View *weight, const View *bias, const View &out, const View *mean, const View &rstd, double eps) {
  const Statistics<T> statistics{column<T>(mean), column<T>(&rstd)};
  const RowOfAll w(weight ? *weight : a, a), b(bias ? *bias : a, a);
  const Rows<4> rows = rows_of<4>({&out, &a, weight ? &w : &a, bias ? &b : &a});
  const Teams teams = make_teams(rows);
  launch(context_of(out), "norm", kernel_for<T>(rows, teams.held), teams.grid(), teams.threads, 0, rows, statistics, T(eps), teams.width,
         teams.held, weight != nullptr, bias != nullptr);
}

}  // namespace

void norm(int op, const View &a, const View *weight, const View *bias, const View &out, const View *mean, const View &rstd, double eps) {
  const DType compute = compute_type(a.dtype);
  Floats x(a, compute), y(out, compute), w(weight ? *weight : a, compute), b(bias ? *bias : a, compute);
  for (Floats *input : {&x, &w, &b}) input->read();
  const auto rows = compute == DType::f64 ? run<double> : run<float>;
  rows(x.view(), weight ? &w.view() : nullptr, bias ? &b.view() : nullptr, y.view(), Norm(op) == Norm::layerNorm ? mean : nullptr, rstd,
       eps);
  y.write();
}

}  // namespace castor::cuda
