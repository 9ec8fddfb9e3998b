// The checks of arguments that several functions share.
#include "check.h"
#include <algorithm>
#include <string>

namespace castor {
namespace {

std::string text_of(const int64_t *sizes, int rank) {
  std::string text = "(";
  for (int i = 0; i < rank; i++) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + ")";
}

std::string text_of(const View &view) { return text_of(view.size, view.rank); }

[[noreturn, gnu::cold]] void fail_sizes(const Argument &a, const char *wanted, const int64_t *sizes, int rank) {
  fail(CASTOR_SHAPE, "%s has shape %s, %s %s", a.name, text_of(a).c_str(), wanted, text_of(sizes, rank).c_str());
}

void expect_broadcasts(const Argument &a, const int64_t *size, int rank, const char *to) {
  const int missing = rank - a.rank;
  bool fits = missing >= 0;
  for (int i = 0; fits && i < a.rank; i++) fits = a.size[i] == 1 || a.size[i] == size[missing + i];
  if (!fits)
    fail(CASTOR_SHAPE, "%s of shape %s does not broadcast to %s of shape %s", a.name, text_of(a).c_str(), to, text_of(size, rank).c_str());
}

struct Bytes { const char *begin, *end; };

Bytes bytes_of(const View &view) {
  const char *first = view.as<char>(), *last = first;
  for (int i = 0; i < view.rank; i++) {
    const int64_t reach = view.stride[i] * (view.size[i] - 1) * size_of(view.dtype);
    (reach < 0 ? first : last) += reach;
  }
  return {first, last + size_of(view.dtype)};
}

}  // namespace

void fail_op(int32_t op, int count) { fail(CASTOR_ARGUMENT, "there is no op %d, ops end at %d", op, count - 1); }

void expect_axis(int32_t axis, const View &view) {
  if (axis < 0 || axis >= view.rank) fail(CASTOR_SHAPE, "axis %d is not within shape %s", axis, text_of(view).c_str());
}

void expect_pointer(const void *pointer, const char *name) {
  if (pointer == nullptr) fail(CASTOR_ARGUMENT, "%s is null", name);
}

void fail_whole(double x, const char *name) { fail(CASTOR_ARGUMENT, "%s is %.17g, not an integer from 0 to 2^53", name, x); }

Dropping expect_dropping(const Call &call, double p, double seed, double offset) {
  if (!(p >= 0 && p <= 1)) fail(CASTOR_ARGUMENT, "p is %g, not a probability from 0 to 1", p);
  const Dropping dropping{p, uint64_t(expect_whole(seed, "seed")), uint64_t(expect_whole(offset, "offset"))};
  if (p > 0) call.expect_seed(dropping.seed);
  return dropping;
}

void expect_rank(const Argument &a, int rank) {
  if (a.rank != rank) fail(CASTOR_SHAPE, "%s has shape %s, expected rank %d", a.name, text_of(a).c_str(), rank);
}

void expect_rank_at_least(const Argument &a, int rank) {
  if (a.rank < rank) fail(CASTOR_SHAPE, "%s has shape %s, expected rank %d or more", a.name, text_of(a).c_str(), rank);
}

void expect_sizes(const Argument *a, Sizes sizes) {
  const int rank = int(sizes.size());
  if (a && (a->rank != rank || !std::equal(sizes.begin(), sizes.end(), a->size))) fail_sizes(*a, "expected", sizes.begin(), rank);
}

void expect_same_sizes(const Argument *a, const Argument &as) {
  if (a && (a->rank != as.rank || !std::equal(a->size, a->size + a->rank, as.size))) fail_sizes(*a, as.name, as.size, as.rank);
}

void expect_same_sizes_except(const Argument &a, const Argument &as, int axis) {
  bool same = a.rank == as.rank;
  for (int i = 0; same && i < a.rank; i++) same = i == axis || a.size[i] == as.size[i];
  if (!same) fail_sizes(a, as.name, as.size, as.rank);
}

void expect_sizes_within(const Argument &a, const Argument &in, int axis) {
  bool within = a.rank == in.rank;
  for (int i = 0; within && i < a.rank; i++) within = i == axis || a.size[i] <= in.size[i];
  if (!within) fail_sizes(a, "which is not within", in.size, in.rank);
}

void expect_broadcasts(const Argument *a, const Argument &to) {
  if (a) expect_broadcasts(*a, to.size, to.rank, to.name);
}

void expect_broadcasts(const Argument *a, const char *to, Sizes sizes) {
  if (a) expect_broadcasts(*a, sizes.begin(), int(sizes.size()), to);
}

void expect_dtype(const Argument *a, DType dtype) {
  if (a && a->dtype != dtype) fail(CASTOR_DTYPE, "%s is %s, expected %s", a->name, name_of(a->dtype), name_of(dtype));
}

void expect_same_dtype(const Argument &a, const Argument &as) {
  if (a.dtype != as.dtype) fail(CASTOR_DTYPE, "%s is %s, but %s is %s", a.name, name_of(a.dtype), as.name, name_of(as.dtype));
}

void expect_index_dtype(const Argument &a) {
  if (a.dtype != DType::i32 && a.dtype != DType::i64) fail(CASTOR_DTYPE, "%s is %s, expected int32 or int64", a.name, name_of(a.dtype));
}

void expect_float_dtype(const Argument &a) {
  if (!is_float(a.dtype)) fail(CASTOR_DTYPE, "%s is %s, expected a float dtype", a.name, name_of(a.dtype));
}

void expect_one(const Argument *a, DType dtype) {
  expect_dtype(a, dtype);
  if (a && a->numel() != 1) fail(CASTOR_SHAPE, "%s has shape %s, expected one element", a->name, text_of(*a).c_str());
}

void expect_apart(const Argument &index, const Argument &out) {
  if (index.numel() == 0 || out.numel() == 0 || index.deferred != out.deferred) return;
  const Bytes a = bytes_of(index), b = bytes_of(out);
  if (a.begin < b.end && b.begin < a.end) fail(CASTOR_ARGUMENT, "%s shares memory with %s, which is written", index.name, out.name);
}

void expect_presence(bool present, bool wanted, const char *name) {
  if (present != wanted) fail(CASTOR_ARGUMENT, "%s %s", name, wanted ? "is missing" : "is not an argument of this op");
}

}  // namespace castor
