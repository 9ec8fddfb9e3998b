// Comparisons, and ops with three operands.
#include "operations.h"

namespace castor::cuda {

#define CASTOR_ELEMENTS const T x = operands[0], y = operands[1];
#define COMPARE(op, domain, ...) CASTOR_OPERATION(compare, 2, op, __VA_ARGS__)
#include "../kernels/compare.inc"
#undef COMPARE
#undef CASTOR_ELEMENTS

#define CASTOR_ELEMENTS const T x = operands[0], y = operands[1], z = operands[2];
#define TERNARY(op, domain, ...) CASTOR_OPERATION(ternary, 3, op, __VA_ARGS__)
#include "../kernels/ternary.inc"
#undef TERNARY
#undef CASTOR_ELEMENTS

template <class T> constexpr Entry<T> compare_table[] = {
#define COMPARE(op, domain, ...) {#op, launcher_of<domain, T, compare_##op>()},
#include "../kernels/compare.inc"
};
template <class T> constexpr Entry<T> ternary_table[] = {
#define TERNARY(op, domain, ...) {#op, launcher_of<domain, T, ternary_##op>()},
#include "../kernels/ternary.inc"
};

void compare(int op, const View &a, const View &b, const View &out) {
  with_compute_type(compute_type(a.dtype, b.dtype), [&](auto t) { run(compare_table<decltype(t)>[op], out, {&a, &b}, 0, 0); });
}

void ternary(int op, const View &a, const View &b, const View &c, const View &out, double p0) {
  with_compute_type(compute_type(a.dtype, b.dtype, c.dtype, out.dtype), [&](auto t) {
    run(ternary_table<decltype(t)>[op], out, {&a, &b, &c}, p0, 0);
  });
}

}  // namespace castor::cuda
