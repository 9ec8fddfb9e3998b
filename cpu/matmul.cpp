// Batched matrix products: out = activation(a b + bias). The batch is a loop nest whose innermost dimension is the rows, so that a batch
// of a with a shared b becomes a single product of more rows.
#include "gemm.h"
#include "../kernels/table.h"
#include "../kernels/nest.h"

namespace castor::CASTOR_ISA {
namespace {

template <class Unit> void run(const View &a, const View &b, const View *bias, const View &out, Activation activation) {
  using T = typename Unit::Sum;
  const Loop<3> nest = nest_of(a, b, out);
  const int last = out.rank - 1;
  const int64_t m = nest.inner(), n = out.size[last], k = a.size[last], count = nest.outer();
  Scratch<T> addend(bias ? n : 0);
  if (bias) load<T>(addend, bias->data, bias->dtype, bias->stride[0], n);

  for_products(count, m * n * k, [&](int64_t i, bool alone) {
    int64_t offset[3];
    nest.offsets(i, offset);
    Result<T> c({at(out, offset[OUT]), out.dtype, nest.inner_stride(OUT), out.stride[last]}, n);
    if (bias) c.bias = addend;
    c.bias_column = 1;
    c.activation = activation;
    c.alone = alone;
    gemm<Unit>(m, n, k, {at(a, offset[A]), a.dtype, nest.inner_stride(A), a.stride[last]},
               {at(b, offset[B]), b.dtype, b.stride[last - 1], b.stride[last]}, c);
  });
}

// b is packed: (panels, k, columns of a panel).
void run_packed(const View &a, const View &b, const View *bias, const View &out, Activation activation) {
  const int64_t m = out.size[0], n = out.size[1], k = a.size[1];
  if (b.size[2] != panel_columns) fail(CASTOR_SHAPE, "a panel has %d columns here, and not %lld", panel_columns, (long long)b.size[2]);
  Scratch<float> addend(bias ? n : 0);
  if (bias) load<float>(addend, bias->data, bias->dtype, bias->stride[0], n);
  Result<float> c({out.data, out.dtype, out.stride[0], out.stride[1]}, n);
  if (bias) c.bias = addend;
  c.bias_column = 1;
  c.activation = activation;
  gemm_packed(m, n, k, {a.data, a.dtype, a.stride[0], a.stride[1]}, b.as<const float>(), c);
}

}  // namespace

void matmul(const View &a, const View &b, const View *bias, const View &out, int activation) {
  if (b.rank > out.rank) return run_packed(a, b, bias, out, Activation(activation));
  with_unit(product_type(a.dtype, b.dtype), [&](auto unit) { run<decltype(unit)>(a, b, bias, out, Activation(activation)); });
}

}  // namespace castor::CASTOR_ISA
