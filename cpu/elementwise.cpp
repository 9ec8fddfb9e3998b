// Elementwise ops: for each line of the .inc files in kernels/ and each arithmetic type, a function over a tile of at most TILE contiguous
// elements, which the compiler vectorises. operands.h runs it over tensors of any layout and dtype.
#include "../kernels/math.h"
#include "../kernels/table.h"
#include "operands.h"
#include "refuse.h"

namespace castor::CASTOR_ISA {

enum class Binary {
#define BINARY(op, ...) op,
#include "../kernels/binary.inc"
#undef BINARY
};

// ---- one tile function for each line of the .inc files and each type of its domain --------------------------------------

struct real { template <class T> static constexpr bool holds = !std::is_same_v<T, int64_t>; };
struct any { template <class T> static constexpr bool holds = true; };
struct integral { template <class T> static constexpr bool holds = std::is_same_v<T, int64_t>; };

template <class Domain, class T, template <class> class Op> constexpr Tile<T> tile_of() {
  if constexpr (Domain::template holds<T>) return Op<T>::run;
  else return nullptr;
}

#define CASTOR_TILE(kind, op, ...)                                                                    \
  template <class T> struct kind##_##op {                                                             \
    static void run(T *to, const T *const *operands, int64_t n, [[maybe_unused]] T p0, [[maybe_unused]] T p1) { \
      CASTOR_OPERANDS                                                                                 \
      CASTOR_IVDEP                                                                                    \
      for (int64_t i = 0; i < n; i++) {                                                               \
        CASTOR_ELEMENTS                                                                               \
        to[i] = T(__VA_ARGS__);                                                                       \
      }                                                                                               \
    }                                                                                                 \
  };

#define CASTOR_OPERANDS const T *xs = operands[0];
#define CASTOR_ELEMENTS T x = xs[i];
#define UNARY(op, domain, ...) CASTOR_TILE(unary, op, __VA_ARGS__)
#include "../kernels/unary.inc"
#undef UNARY
#undef CASTOR_OPERANDS
#undef CASTOR_ELEMENTS

#define CASTOR_OPERANDS const T *xs = operands[0], *ys = operands[1];
#define CASTOR_ELEMENTS T x = xs[i], y = ys[i];
#define BINARY(op, domain, ...) CASTOR_TILE(binary, op, __VA_ARGS__)
#define COMPARE(op, domain, ...) CASTOR_TILE(compare, op, __VA_ARGS__)
#include "../kernels/binary.inc"
#include "../kernels/compare.inc"
#undef BINARY
#undef COMPARE
#undef CASTOR_OPERANDS
#undef CASTOR_ELEMENTS

#define CASTOR_OPERANDS const T *xs = operands[0], *ys = operands[1], *zs = operands[2];
#define CASTOR_ELEMENTS T x = xs[i], y = ys[i], z = zs[i];
#define TERNARY(op, domain, ...) CASTOR_TILE(ternary, op, __VA_ARGS__)
#include "../kernels/ternary.inc"
#undef TERNARY
#undef CASTOR_OPERANDS
#undef CASTOR_ELEMENTS

// A tile whose arguments are all in the usual range uses a formula that is right there alone, any other tile the general one.
#define CASTOR_NEAR(op, usual)                                                                        \
  template <> struct unary_##op<float> {                                                              \
    static void run(float *to, const float *const *operands, int64_t n, float, float) {               \
      const float *xs = operands[0];                                                                  \
      int far = 0;                                                                                    \
      for (int64_t i = 0; i < n; i++) far |= !usual(xs[i]);                                           \
      if (far) return (void)std::transform(xs, xs + n, to, [](float x) { return m::op(x); });         \
      CASTOR_IVDEP                                                                                    \
      for (int64_t i = 0; i < n; i++) to[i] = m::near_##op(xs[i]);                                    \
    }                                                                                                 \
  };
CASTOR_NEAR(sin, m::is_within_reach)
CASTOR_NEAR(cos, m::is_within_reach)
CASTOR_NEAR(tan, m::is_within_reach)
CASTOR_NEAR(log, m::is_normal)
CASTOR_NEAR(log2, m::is_normal)
CASTOR_NEAR(log10, m::is_normal)
#undef CASTOR_NEAR

// ---- tables of them, by op number ---------------------------------------------------------------------------------------

template <class T> struct Entry { const char *name; Tile<T> tile; };

template <class T> constexpr Entry<T> unary_table[] = {
#define UNARY(op, domain, ...) {#op, tile_of<domain, T, unary_##op>()},
#include "../kernels/unary.inc"
};
template <class T> constexpr Entry<T> binary_table[] = {
#define BINARY(op, domain, ...) {#op, tile_of<domain, T, binary_##op>()},
#include "../kernels/binary.inc"
};
template <class T> constexpr Entry<T> compare_table[] = {
#define COMPARE(op, domain, ...) {#op, tile_of<domain, T, compare_##op>()},
#include "../kernels/compare.inc"
};
template <class T> constexpr Entry<T> ternary_table[] = {
#define TERNARY(op, domain, ...) {#op, tile_of<domain, T, ternary_##op>()},
#include "../kernels/ternary.inc"
};

template <class T> Operation<T> operation(const Entry<T> &entry, double p0, double p1) {
  if (!entry.tile) fail(CASTOR_DTYPE, "%s does not work on %s", entry.name, name_of(dtype_of<T>));
  return {entry.tile, convert<T>(p0), convert<T>(p1)};
}

// ---- powers with a constant exponent ------------------------------------------------------------------------------------

template <class T> void cube(T *to, const T *const *x, int64_t n, T, T) {
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) to[i] = m::mul(x[0][i], m::mul(x[0][i], x[0][i]));
}

template <class T> Tile<T> power_tile(double exponent) {
  if (exponent == 2) return unary_square<T>::run;
  if (exponent == 3) return cube<T>;
  if constexpr (!std::is_same_v<T, int64_t>) {
    if (exponent == 0.5) return unary_sqrt<T>::run;
    if (exponent == -0.5) return unary_rsqrt<T>::run;
    if (exponent == -1) return unary_reciprocal<T>::run;
  }
  return nullptr;
}

template <class T> bool constant_power(int op, const View &a, const View &b, const View &out) {
  if (op != int(Binary::pow) || !b.constant) return false;
  double exponent;
  load(&exponent, b.data, b.dtype, 0, 1);
  Tile<T> tile = power_tile<T>(exponent);
  if (tile) run<T, 1>({tile, T(0), T(0)}, out, {&a});
  return tile;
}

// ---- checks of integers for which an op has no result -------------------------------------------------------------------

static void refuse_undefined(int op, const View &b) {
  switch (Binary(op)) {
    case Binary::floorDivide:
    case Binary::remainder:
    case Binary::fmod: return refuse(b, Defect::zero_divisor, [](int64_t y) { return y == 0; });
    case Binary::pow: return refuse(b, Defect::negative_power, [](int64_t y) { return y < 0; });
    default: return;
  }
}

void expect(int op, const View &holds) {
  refuse(holds, defect_of(Expect(op)), [](int64_t x) { return x == 0; });
}

// ---- the kinds ----------------------------------------------------------------------------------------------------------

void unary(int op, const View &a, const View &out, double p0, double p1) {
  with_compute_type(compute_type(a.dtype, out.dtype), [&](auto t) {
    using T = decltype(t);
    run<T, 1>(operation(unary_table<T>[op], p0, p1), out, {&a});
  });
}

void binary(int op, const View &a, const View &b, const View &out, double p0, double p1) {
  with_compute_type(compute_type(a.dtype, b.dtype, out.dtype), [&](auto t) {
    using T = decltype(t);
    if constexpr (std::is_same_v<T, int64_t>) refuse_undefined(op, b);
    if (constant_power<T>(op, a, b, out)) return;
    run<T, 2>(operation(binary_table<T>[op], p0, p1), out, {&a, &b});
  });
}

void compare(int op, const View &a, const View &b, const View &out) {
  with_compute_type(compute_type(a.dtype, b.dtype), [&](auto t) {
    using T = decltype(t);
    run<T, 2>(operation(compare_table<T>[op], 0, 0), out, {&a, &b});
  });
}

void ternary(int op, const View &a, const View &b, const View &c, const View &out, double p0) {
  with_compute_type(compute_type(a.dtype, b.dtype, c.dtype, out.dtype), [&](auto t) {
    using T = decltype(t);
    run<T, 3>(operation(ternary_table<T>[op], p0, 0), out, {&a, &b, &c});
  });
}

}  // namespace castor::CASTOR_ISA
