#include "../kernels/nest.h"
#include "../kernels/table.h"
#include "gemm.h"

namespace castor::cuda {
namespace {

int32_t checked_size(int64_t size) {
  if (size > std::numeric_limits<int32_t>::max() - 1024) fail(CASTOR_SHAPE, "a product with a side of %lld", (long long)size);
  return int32_t(size);
}

bool all_multiples(std::initializer_list<int64_t> values, int64_t of) {
  for (int64_t v : values)
    if (v % of) return false;
  return true;
}

}  // namespace

void matmul(const View &a, const View &b, const View *bias, const View &out, int activation) {
  const Loop<3> nest = nest_of(a, b, out);
  const int last = out.rank - 1;
  const int64_t m = nest.inner(), n = out.size[last], k = a.size[last];
  Product p{checked_size(m), checked_size(n), checked_size(k), checked_size(nest.outer()), {}, {}, {}, make_layout(nest, nest.rank - 1)};
  p.a = {a.as<const char>(), a.dtype, Digits(m, nest.inner_stride(A)), Digits(k, a.stride[last])};
  p.b = {b.as<const char>(), b.dtype, Digits(n, b.stride[last]), Digits(k, b.stride[last - 1])};
  p.c = {out.as<char>(), out.dtype, nest.inner_stride(OUT), Digits(n, out.stride[last]), false};
  p.c.activation = Activation(activation);
  if (bias) p.c.bias = bias->as<const char>(), p.c.bias_dtype = bias->dtype, p.c.bias_column = bias->stride[0];

  p.c.packets = out.stride[last] == 1 && packet_aligned(out.data, out.dtype) && all_multiples({p.c.row}, PACKET);
  for (int d = 0; d < nest.rank - 1; d++) p.c.packets &= all_multiples({nest.stride[OUT][d]}, PACKET);
  multiply(context_of(out), p);
}

}  // namespace castor::cuda
