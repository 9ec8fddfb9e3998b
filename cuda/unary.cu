// Elementwise ops of one operand: for each line of kernels/unary.inc and each arithmetic type, a kernel of map.h.
#include "operations.h"

namespace castor::cuda {

#define CASTOR_ELEMENTS const T x = operands[0];
#define UNARY(op, domain, ...) CASTOR_OPERATION(unary, 1, op, __VA_ARGS__)
#include "../kernels/unary.inc"
#undef UNARY
#undef CASTOR_ELEMENTS

template <class T> constexpr Entry<T> unary_table[] = {
#define UNARY(op, domain, ...) {#op, launcher_of<domain, T, unary_##op>()},
#include "../kernels/unary.inc"
};

// ---- powers with a constant exponent ------------------------------------------------------------------------------------

template <class T> struct power_cube {
  __device__ __forceinline__ T operator()(const T (&x)[1]) const { return m::mul(x[0], m::mul(x[0], x[0])); }
  static void run(const View &out, const View *const *inputs, T, T) { map<T, 1>("pow", out, inputs, power_cube{}); }
};

template <class T> Launcher<T> power_of(double exponent) {
  if (exponent == 2) return unary_square<T>::run;
  if (exponent == 3) return power_cube<T>::run;
  if constexpr (!std::is_same_v<T, int64_t>) {
    if (exponent == 0.5) return unary_sqrt<T>::run;
    if (exponent == -0.5) return unary_rsqrt<T>::run;
    if (exponent == -1) return unary_reciprocal<T>::run;
  }
  return nullptr;
}

bool constant_power(const View &a, const View &b, const View &out) {
  double exponent = 0;
  with_dtype(b.dtype, [&](auto element) { exponent = convert<double>(*b.as<decltype(element)>()); });
  bool done = false;
  with_compute_type(compute_type(a.dtype, b.dtype, out.dtype), [&](auto t) {
    using T = decltype(t);
    const Launcher<T> run = power_of<T>(exponent);
    const View *const inputs[] = {&a};
    if (run) run(out, inputs, T(0), T(0));
    done = run;
  });
  return done;
}

// ---- the kind -----------------------------------------------------------------------------------------------------------

void unary(int op, const View &a, const View &out, double p0, double p1) {
  with_compute_type(compute_type(a.dtype, out.dtype), [&](auto t) { run(unary_table<decltype(t)>[op], out, {&a}, p0, p1); });
}

}  // namespace castor::cuda
