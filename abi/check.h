// Checks of arguments. A null pointer is an absent argument and passes every check.
#pragma once
#include <initializer_list>
#include "view.h"

namespace castor {

using Sizes = std::initializer_list<int64_t>;

[[noreturn]] void fail_op(int32_t op, int count);
inline void expect_op(int32_t op, int count) {
  if (op < 0 || op >= count) fail_op(op, count);
}
void expect_axis(int32_t axis, const View &view);
void expect_pointer(const void *pointer, const char *name);
[[noreturn]] void fail_whole(double x, const char *name);
// Returns an integer from 0 to 2^53.
inline int64_t expect_whole(double x, const char *name) {
  if (!(x >= 0 && x < 0x1p53) || double(int64_t(x)) != x) fail_whole(x, name);
  return int64_t(x);
}

// Dropout with probability p of dropping an element, whose random numbers come from the generator of the capture if there is one.
Dropping expect_dropping(const Call &call, double p, double seed, double offset);

void expect_rank(const Argument &a, int rank);
void expect_rank_at_least(const Argument &a, int rank);
void expect_sizes(const Argument *a, Sizes sizes);
void expect_same_sizes(const Argument *a, const Argument &as);
void expect_same_sizes_except(const Argument &a, const Argument &as, int axis);
void expect_sizes_within(const Argument &a, const Argument &in, int axis);  // on every other axis
void expect_broadcasts(const Argument *a, const Argument &to);
void expect_broadcasts(const Argument *a, const char *to, Sizes sizes);
void expect_dtype(const Argument *a, DType dtype);
void expect_same_dtype(const Argument &a, const Argument &as);
void expect_index_dtype(const Argument &a);
void expect_float_dtype(const Argument &a);
void expect_one(const Argument *a, DType dtype);  // one element of dtype
// Refuses an index that shares memory with out: a kernel that overwrites its own indices could then read anywhere.
void expect_apart(const Argument &index, const Argument &out);
void expect_presence(bool present, bool wanted, const char *name);

// The dtype of the statistics of an op: float64 for float64 tensors, else float32.
inline DType statistics_dtype(const View &of) { return of.dtype == DType::f64 ? DType::f64 : DType::f32; }

// Ops along an axis treat a scalar as one element on axis 0.
inline void at_least_1d(View &view) {
  if (view.rank > 0) return;
  view.rank = 1;
  view.size[0] = view.stride[0] = 1;
}
template <class... Views> void at_least_1d(View &view, Views &...more) {
  at_least_1d(view);
  at_least_1d(more...);
}

}  // namespace castor
