// Arguments of norms: inputs and results of any dtype, some of them absent.
#pragma once
#include "harness.h"

namespace tests {

inline castor_dtype any_float(Case &c, castor_dtype dtype) { return c.random() % 4 ? dtype : FLOATS[c.random() % 4]; }
// float64 would show the whole error of float32 arithmetic.
inline castor_dtype any_result(Case &c, castor_dtype dtype) { return c.random() % 4 ? dtype : FLOATS[c.random() % (dtype == f64 ? 4 : 3)]; }
inline castor_dtype statistics(castor_dtype dtype) { return dtype == f64 ? f64 : f32; }
inline int maybe_input(Case &c, castor_dtype dtype, const Shape &shape) {
  return c.random() % 3 ? c.input(any_float(c, dtype), shape) : c.absent();
}
inline int maybe_output(Case &c, castor_dtype dtype, const Shape &shape) {
  return c.random() % 4 ? c.output(any_result(c, dtype), shape) : c.absent();
}

}  // namespace tests
