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

#define CASTOR_TILE(kind, op, ...)                                                                    \
  template <class T> struct kind##_##op {                                                             \
    [[gnu::always_inline]] static void run(T *to, const T *const *operands, int64_t n,                \
                                           [[maybe_unused]] T p0, [[maybe_unused]] T p1) {            \
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
CASTOR_TILE(unary, cube, m::mul(x, m::mul(x, x)))
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

// A piece whose arguments are all in the usual range is computed by a formula that is right there alone, and any other piece by the general
// one. Pieces are short, so that the processor reads the next one from memory while it computes this one.
constexpr int64_t PIECE = 128;
#define CASTOR_NEAR(op, usual)                                                                        \
  template <> struct unary_##op<float> {                                                              \
    [[gnu::always_inline]] static void run_piece(float *to, const float *xs, int64_t n) {             \
      int far = 0;                                                                                    \
      for (int64_t i = 0; i < n; i++) far |= !usual(xs[i]);                                           \
      if (far) return (void)std::transform(xs, xs + n, to, [](float x) { return m::op(x); });         \
      CASTOR_IVDEP                                                                                    \
      for (int64_t i = 0; i < n; i++) to[i] = m::near_##op(xs[i]);                                    \
    }                                                                                                 \
    [[gnu::always_inline]] static void run(float *to, const float *const *operands, int64_t n, float, float) { \
      const float *xs = operands[0];                                                                  \
      for (; n >= PIECE; n -= PIECE, xs += PIECE, to += PIECE) run_piece(to, xs, PIECE);              \
      run_piece(to, xs, n);                                                                           \
    }                                                                                                 \
  };
CASTOR_NEAR(exp, m::has_normal_exp)
CASTOR_NEAR(sin, m::is_within_reach)
CASTOR_NEAR(cos, m::is_within_reach)
CASTOR_NEAR(tan, m::is_within_reach)
CASTOR_NEAR(log, m::is_normal)
CASTOR_NEAR(log2, m::is_normal)
CASTOR_NEAR(log10, m::is_normal)
#undef CASTOR_NEAR

// ---- tables of them, by op number ---------------------------------------------------------------------------------------

template <class T> struct Entry { const char *name; Tile<T> tile; Passes<T> passes; };

template <class Domain, class T, template <class> class Op, int N> constexpr Entry<T> entry(const char *name) {
  if constexpr (Domain::template holds<T>) return {name, Op<T>::run, passes_of<T, N, Op<T>>()};
  else return {name, nullptr, {}};
}

template <class T> constexpr Entry<T> unary_table[] = {
#define UNARY(op, domain, ...) entry<domain, T, unary_##op, 1>(#op),
#include "../kernels/unary.inc"
};
template <class T> constexpr Entry<T> binary_table[] = {
#define BINARY(op, domain, ...) entry<domain, T, binary_##op, 2>(#op),
#include "../kernels/binary.inc"
};
template <class T> constexpr Entry<T> compare_table[] = {
#define COMPARE(op, domain, ...) {#op, compare_##op<T>::run, {}},
#include "../kernels/compare.inc"
};
template <class T> constexpr Entry<T> ternary_table[] = {
#define TERNARY(op, domain, ...) entry<domain, T, ternary_##op, 3>(#op),
#include "../kernels/ternary.inc"
};

template <class T> Operation<T> operation(const Entry<T> &entry, double p0, double p1) {
  if (!entry.tile) fail(CASTOR_DTYPE, "%s does not work on %s", entry.name, name_of(dtype_of<T>));
  return {entry.tile, convert<T>(p0), convert<T>(p1), entry.passes};
}

// ---- powers with a constant exponent ------------------------------------------------------------------------------------

// Returns the entry that raises to a constant power. Its tile is null if there is none for this exponent.
template <class T> Entry<T> power(double exponent) {
  if (exponent == 2) return entry<any, T, unary_square, 1>("pow");
  if (exponent == 3) return entry<any, T, unary_cube, 1>("pow");
  if (exponent == 0.5) return entry<real, T, unary_sqrt, 1>("pow");
  if (exponent == -0.5) return entry<real, T, unary_rsqrt, 1>("pow");
  if (exponent == -1) return entry<real, T, unary_reciprocal, 1>("pow");
  return {};
}

template <class T> bool constant_power(int op, const View &a, const View &b, const View &out) {
  if (op != int(Binary::pow) || !b.constant) return false;
  double exponent;
  load(&exponent, b.data, b.dtype, 0, 1);
  const Entry<T> found = power<T>(exponent);
  if (found.tile) run<T, 1>(operation(found, 0, 0), out, {&a});
  return found.tile;
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
