// The ops of a kind, by number: for each type of arithmetic that the op supports, a function that launches its kernel.
#pragma once
#include "../kernels/math.h"
#include "../kernels/table.h"
#include "map.h"

namespace castor::cuda {

struct real { template <class T> static constexpr bool holds = !std::is_same_v<T, int64_t>; };
struct any { template <class T> static constexpr bool holds = true; };
struct integral { template <class T> static constexpr bool holds = std::is_same_v<T, int64_t>; };

template <class T> using Launcher = void (*)(const View &out, const View *const *inputs, T p0, T p1);
template <class T> struct Entry { const char *name; Launcher<T> run; };

template <class Domain, class T, template <class> class Op> constexpr Launcher<T> launcher_of() {
  if constexpr (Domain::template holds<T>) return Op<T>::run;
  else return nullptr;
}

// Turns a line of an .inc file into a function of N operands.
#define CASTOR_OPERATION(kind, N, op, ...)                                       \
  template <class T> struct kind##_##op {                                        \
    T p0, p1;                                                                    \
    __device__ __forceinline__ T operator()(const T (&operands)[N]) const {      \
      CASTOR_ELEMENTS                                                            \
      return T(__VA_ARGS__);                                                     \
    }                                                                            \
    static void run(const View &out, const View *const *inputs, T p0, T p1) {    \
      map<T, N>(#op, out, inputs, kind##_##op{p0, p1});                          \
    }                                                                            \
  };

template <class T, int N> void run(const Entry<T> &entry, const View &out, const View *const (&inputs)[N], double p0, double p1) {
  if (!entry.run) fail(CASTOR_DTYPE, "%s does not work on %s", entry.name, name_of(dtype_of<T>));
  entry.run(out, inputs, convert<T>(p0), convert<T>(p1));
}

// Computes out = a^b for a constant b that is the exponent of a product or a root. Returns false for any other b.
bool constant_power(const View &a, const View &b, const View &out);

}  // namespace castor::cuda
