// Elementwise ops of two operands: for each line of kernels/binary.inc and each arithmetic type, a kernel of map.h.
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

// ---- checks of integers for which an op has no result -------------------------------------------------------------------

// An op that reports the values of y for which it is not defined, and writes 0 for them.
template <template <class> class Op, Site Where> struct Checked {
  static constexpr bool IS_POWER = Where == Site::pow;
  Fault *fault;
  __device__ __forceinline__ int64_t operator()(const int64_t (&operands)[2]) const {
    const int64_t y = operands[1];
    if (IS_POWER ? y < 0 : y == 0) report(IS_POWER ? Defect::negative_power : Defect::zero_divisor, Where, fault);
    return Op<int64_t>{0, 0}(operands);
  }
};

template <template <class> class Op, Site Where> bool run_checked(const View &a, const View &b, const View &out) {
  const View *const inputs[] = {&a, &b};
  map<int64_t, 2>(name_of(Where), out, inputs, Checked<Op, Where>{context_of(out).fault});
  return true;
}

static bool checked(int op, const View &a, const View &b, const View &out) {
  if (compute_type(a.dtype, b.dtype, out.dtype) != DType::i64) return false;
  switch (Binary(op)) {
    case Binary::floorDivide: return run_checked<binary_floorDivide, Site::floorDivide>(a, b, out);
    case Binary::remainder: return run_checked<binary_remainder, Site::remainder>(a, b, out);
    case Binary::fmod: return run_checked<binary_fmod, Site::fmod>(a, b, out);
    case Binary::pow: return run_checked<binary_pow, Site::pow>(a, b, out);
    default: return false;
  }
}

void binary(int op, const View &a, const View &b, const View &out, double p0, double p1) {
  if (op == int(Binary::pow) && b.constant && constant_power(a, b, out)) return;
  if (checked(op, a, b, out)) return;
  with_compute_type(compute_type(a.dtype, b.dtype, out.dtype), [&](auto t) { run(binary_table<decltype(t)>[op], out, {&a, &b}, p0, p1); });
}

}  // namespace castor::cuda
