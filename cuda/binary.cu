#include "operations.h"

namespace castor::cuda {

enum class Binary {
#define BINARY(op, ...) op,
#include "../kernels/binary.inc"
#undef BINARY
};

#define CASTOR_ELEMENTS const T x = operands[0], y = operands[1];
#define BINARY(op, domain, ...) CASTOR_OPERATION(binary, 2, op, __VA_ARGS__)
#include "../kernels/binary.inc"
#undef BINARY
#undef CASTOR_ELEMENTS

template <class T> constexpr Entry<T> binary_table[] = {
#define BINARY(op, domain, ...) {#op, launcher_of<domain, T, binary_##op>()},
#include "../kernels/binary.inc"
};

void binary(int op, const View &a, const View &b, const View &out, double p0, double p1) {
  if (op == int(Binary::pow) && b.constant && constant_power(a, b, out)) return;
  with_compute_type(compute_type(a.dtype, b.dtype, out.dtype), [&](auto t) { run(binary_table<decltype(t)>[op], out, {&a, &b}, p0, p1); });
}

}  // namespace castor::cuda
