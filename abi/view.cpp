// Reads castor_views and checks that they are within their storages.
#include "view.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include "../kernels/convert.h"

namespace castor {
namespace {

constexpr double EXACT = 0x1p53;  // integers below it are exact in a double

bool is_integer(double x) { return std::fabs(x) < EXACT && double(int64_t(x)) == x; }

[[noreturn, gnu::cold]] void fail_header(const char *name, const castor_view &from) {
  if (from.dtype < CASTOR_FLOAT32 || from.dtype > CASTOR_BOOL) fail(CASTOR_ARGUMENT, "%s has the unknown dtype %d", name, from.dtype);
  fail(CASTOR_ARGUMENT, "%s has rank %d, more than %d or negative", name, from.rank, CASTOR_MAX_RANK);
}

[[noreturn, gnu::cold]] void fail_axis(const char *name, const castor_view &from, int axis) {
  const double size = from.size[axis];
  if (!is_integer(size) || size < 0) fail(CASTOR_SHAPE, "%s has size %g on axis %d, not an integer from 0 to 2^53", name, size, axis);
  fail(CASTOR_SHAPE, "%s has stride %g on axis %d, not an integer below 2^53", name, from.stride[axis], axis);
}

template <class T> void write_element(View &to, double x) {
  const T element = CASTOR_ISA::convert<T>(x);
  std::memcpy(to.value, &element, sizeof element);
}

void write_value(View &to, double x) {
  using namespace CASTOR_ISA;
  switch (to.dtype) {
    case DType::f32: return write_element<float>(to, x);
    case DType::f16: return write_element<Half>(to, x);
    case DType::bf16: return write_element<BFloat>(to, x);
    case DType::f64: return write_element<double>(to, x);
    case DType::i32: return write_element<int32_t>(to, x);
    case DType::i64: return write_element<int64_t>(to, x);
    case DType::u8: return write_element<uint8_t>(to, x);
    case DType::boolean: return write_element<Bool>(to, x);
  }
}

void check_header(const char *name, const castor_view &from) {
  if (uint32_t(from.dtype) > CASTOR_BOOL || uint32_t(from.rank) > CASTOR_MAX_RANK) fail_header(name, from);
}

void read_constant(const char *name, const castor_view &from, View &to) {
  if (from.rank != 0) fail(CASTOR_ARGUMENT, "%s is a constant of rank %d", name, from.rank);
  to.dtype = DType(from.dtype);
  to.rank = 0;
  to.constant = true;
  to.data = to.value;
  write_value(to, from.offset);
}

// Sums and products are computed in double. They are exact below 2^53, and a result of 2^53 or more is never rounded to one below.
void read_tensor(Call &call, const char *name, const castor_view &from, View &to, Access access) {
  Storage storage = find_storage(from.storage);
  if (deferring() || !storage.data) to.deferred = defer(from.storage, storage, access);
  if (!is_integer(from.offset)) fail(CASTOR_SHAPE, "%s has offset %g, not an integer below 2^53", name, from.offset);
  double first = from.offset, last = from.offset, elements = 1;
  bool empty = false;
  for (int i = 0; i < from.rank; i++) {
    const double size = from.size[i], stride = from.stride[i];
    if (!is_integer(size) || size < 0 || !is_integer(stride)) fail_axis(name, from, i);
    to.size[i] = int64_t(size);
    to.stride[i] = int64_t(stride);
    const double reach = stride * (size - 1);
    (reach < 0 ? first : last) += reach;
    empty |= size == 0;
    elements *= size > 1 ? size : 1;
  }
  if (elements >= EXACT) fail(CASTOR_SHAPE, "%s has more than 2^53 elements", name);
  to.dtype = DType(from.dtype);
  to.rank = from.rank;
  to.device = storage.device->id;
  const double element = double(size_of(to.dtype));
  if (empty) {
    to.data = storage.data;
    std::fill_n(to.stride, to.rank, 0);  // with no elements, a kernel that computes an address stays at the first one
  } else {
    if (first < 0 || (last + 1) * element > double(storage.bytes)) fail_reach(name, to.dtype, first, last, storage.bytes);
    to.data = reinterpret_cast<void *>(reinterpret_cast<intptr_t>(storage.data) + intptr_t(from.offset) * intptr_t(element));
  }
  call.enter(from.storage, storage);
}

}  // namespace

void Call::fail_devices(const Device &other) const {
  fail(CASTOR_DEVICE, "the arguments are on two devices, %d and %d", device_->id, other.id);
}

void fail_reach(const char *name, DType dtype, double first, double last, int64_t bytes) {
  fail(CASTOR_SHAPE, "%s reaches elements %.17g to %.17g of a storage that holds %lld %s", name, first, last,
       (long long)(bytes / size_of(dtype)), name_of(dtype));
}

void Call::expect_seed(uint64_t seed) const {
  const Capture *capture = capturing(*device_);
  if (capture && capture->seed != seed)
    fail(CASTOR_CAPTURE, "random numbers of two seeds cannot be captured in one graph. Use one generator");
}

const castor_view *views_at(castor_address address, const char *name) {
  // No memory is mapped at addresses below one page.
  const bool plausible = address >= 4096 && is_integer(address) && uintptr_t(address) % alignof(castor_view) == 0;
  if (!plausible) fail(CASTOR_ARGUMENT, "%s is not the address of a view", name);
  return reinterpret_cast<const castor_view *>(uintptr_t(address));
}

void read_input(Call &call, const char *name, const castor_view &from, View &to) {
  check_header(name, from);
  from.storage == 0 ? read_constant(name, from, to) : read_tensor(call, name, from, to, Access::read);
}

void read_output(Call &call, const char *name, const castor_view &from, View &to) {
  check_header(name, from);
  if (from.storage == 0) fail(CASTOR_ARGUMENT, "%s is a constant", name);
  read_tensor(call, name, from, to, Access::write);
  expect_unshared(from.storage, name);
  if (to.numel() == 0) return;
  for (int i = 0; i < to.rank; i++) {
    if (from.stride[i] == 0 && to.size[i] > 1) fail(CASTOR_SHAPE, "%s is written and has stride 0 on axis %d", name, i);
  }
}

Input::Input(Call &call, const char *name, castor_address address) {
  this->name = name;
  read_input(call, name, *views_at(address, name), *this);
}

Output::Output(Call &call, const char *name, castor_address address) {
  this->name = name;
  read_output(call, name, *views_at(address, name), *this);
}

}  // namespace castor
