// Batched matrix products, described as a GemmProblem: out = activation(a b + bias).
#include "../kernels/nest.h"
#include "../kernels/table.h"
#include "gemm.h"

namespace castor::cuda {
namespace {

GemmOperand operand_of(const View &v, int64_t size, int64_t x_stride, int64_t k, int64_t k_stride) {
  return {v.as<const char>(), v.dtype, MixedRadixIndex(size, x_stride), MixedRadixIndex(k, k_stride),
          std::abs(k_stride) < std::abs(x_stride)};
}

// The batch of a nest whose innermost dimension is the rows. The bias is the same for all matrices.
Layout<4> batch_of(const Loop<3> &nest) {
  Loop<4> batch;
  for (int d = 0; d < nest.rank - 1; d++)
    append_dimension(batch, nest.size[d], {nest.stride[A][d], nest.stride[B][d], nest.stride[OUT][d], 0});
  return make_layout(batch, batch.rank);
}

}  // namespace

void matmul(const View &a, const View &b, const View *bias, const View &out, int activation) {
  const Loop<3> nest = nest_of(a, b, out);
  const int last = out.rank - 1;
  const int64_t m = nest.inner(), n = out.size[last], k = a.size[last];
  GemmProblem p{checked_side(m), checked_side(n), checked_side(k), checked_side(nest.outer()),
            operand_of(a, m, nest.inner_stride(A), k, a.stride[last]), operand_of(b, n, b.stride[last], k, b.stride[last - 1]),
            {out.as<char>(), out.dtype, nest.inner_stride(OUT), MixedRadixIndex(n, out.stride[last])}, batch_of(nest)};
  p.c.activation = Activation(activation);
  if (bias) p.c.bias = bias->as<const char>(), p.c.bias_dtype = bias->dtype, p.c.bias_column = bias->stride[0];
  multiply(context_of(out), p);
}

}  // namespace castor::cuda
