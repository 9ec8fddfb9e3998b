#include "tensor.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include "../../kernels/convert.h"

namespace tests {

namespace element = ::castor::CASTOR_ISA;

const char *name_of(castor_dtype dtype) {
  constexpr const char *names[] = {"f32", "f16", "bf16", "f64", "i32", "i64", "u8", "bool"};
  return names[dtype];
}

int64_t size_of(castor_dtype dtype) {
  constexpr int64_t bytes[] = {4, 2, 2, 8, 4, 8, 1, 1};
  return bytes[dtype];
}

namespace {

template <class F> auto with_element(castor_dtype dtype, F f) {
  switch (dtype) {
    case CASTOR_FLOAT32: return f(float{});
    case CASTOR_FLOAT16: return f(element::Half{});
    case CASTOR_BFLOAT16: return f(element::BFloat{});
    case CASTOR_FLOAT64: return f(double{});
    case CASTOR_INT32: return f(int32_t{});
    case CASTOR_INT64: return f(int64_t{});
    case CASTOR_UINT8: return f(uint8_t{});
    default: return f(element::Bool{});
  }
}

}  // namespace

double read_element(castor_dtype dtype, const void *from) {
  return with_element(dtype, [&](auto x) {
    std::memcpy(&x, from, sizeof x);
    return element::convert<double>(x);
  });
}

void write_element(castor_dtype dtype, void *to, double value) {
  with_element(dtype, [&](auto x) {
    x = element::convert<decltype(x)>(value);
    std::memcpy(to, &x, sizeof x);
  });
}

std::string to_string(const Shape &shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); i++) text += (i ? "," : "") + std::to_string(shape[i]);
  return text + ")";
}

int64_t count_of(const Shape &shape) { return std::accumulate(shape.begin(), shape.end(), int64_t(1), std::multiplies<>()); }

// ---- values ----------------------------------------------------------------------------------------------------------

namespace {
// The distributions of the standard library differ between platforms. These do not, so a seed gives the same numbers everywhere.
double unit(Random &random) { return double(random() >> 11) * 0x1p-53; }
int64_t below(Random &random, int64_t n) { return int64_t(random() % uint64_t(n)); }
}  // namespace

Values uniform(double low, double high) {
  return [=](Random &random) { return low + (high - low) * unit(random); };
}
Values normal(double deviation) {
  return
      [=](Random &random) { return deviation * std::sqrt(-2 * std::log(1 - unit(random))) * std::cos(6.283185307179586 * unit(random)); };
}
Values whole(int64_t low, int64_t high) {
  return [=](Random &random) { return double(low + below(random, high - low + 1)); };
}
Values some_of(std::vector<double> list) {
  return [list = std::move(list)](Random &random) { return list[size_t(below(random, int64_t(list.size())))]; };
}
Values with_specials(Values values) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const Values special = some_of({std::nan(""), infinity, -infinity, 0.0, -0.0, 1, -1, 3e-40, 1e-7, -1e-30, 1e30, -1e30, 65504});
  return [=](Random &random) { return below(random, 8) == 0 ? special(random) : values(random); };
}

// ---- layouts ---------------------------------------------------------------------------------------------------------

const char *name_of(Layout layout) {
  constexpr const char *names[] = {"contiguous", "shifted", "transposed", "sliced", "reversed", "broadcast"};
  return names[int(layout)];
}

castor_view Tensor::view(castor_handle storage) const {
  castor_view view{};
  view.storage = storage;
  view.offset = double(offset);
  view.dtype = dtype;
  view.rank = int32_t(size.size());
  std::copy(size.begin(), size.end(), view.size);
  std::copy(stride.begin(), stride.end(), view.stride);
  return view;
}

void Tensor::each(const std::function<void(int64_t, int64_t)> &f) const {
  const int64_t n = count_of(size);
  for (int64_t i = 0; i < n; i++) {
    int64_t at = offset, rest = i;
    for (int d = int(size.size()) - 1; d >= 0; d--) {
      at += rest % size[d] * stride[d];
      rest /= size[d];
    }
    f(at, i);
  }
}

std::string Tensor::describe() const { return std::string(name_of(dtype)) + to_string(size) + " " + layout; }

namespace {

// Computes the strides for axes that lie in memory in this order, each `extent` long. Returns the number of elements that this takes.
int64_t lay_out(Tensor &t, const std::vector<int> &order, const Shape &extent) {
  int64_t elements = 1;
  for (int axis : order) {
    t.stride[axis] = elements;
    elements *= std::max<int64_t>(1, extent[axis]);  // a tensor without elements has strides too
  }
  return elements;
}

void slice(Tensor &t, Random &random, Shape &extent) {
  for (size_t d = 0; d < t.size.size(); d++) extent[d] = t.size[d] + 1 + below(random, 3);
  if (!extent.empty()) extent.back() = 2 * t.size.back() + 1;
}

}  // namespace

Tensor make_tensor(Random &random, castor_dtype dtype, const Shape &size, Layout layout, const Values &values) {
  const int rank = int(size.size());
  Tensor t;
  t.dtype = dtype;
  t.size = size;
  t.stride.resize(rank);
  t.layout = name_of(layout);
  std::vector<int> order(rank);
  for (int d = 0; d < rank; d++) order[d] = rank - 1 - d;
  Shape extent = size;
  if (layout == Layout::transposed) {
    std::reverse(order.begin(), order.end());
    if (rank > 2) std::swap(order[0], order[size_t(1 + below(random, rank - 1))]);
  }
  if (layout == Layout::sliced) slice(t, random, extent);
  if (layout == Layout::broadcast) {
    for (int d = 0; d < rank; d++) extent[d] = below(random, 2) || rank == 1 ? 1 : size[d];
  }
  int64_t elements = lay_out(t, order, extent);
  for (int d = 0; d < rank; d++) {
    if (layout == Layout::broadcast && extent[d] == 1) t.stride[d] = 0;
    if (layout == Layout::sliced && size[d] > 0) t.offset += t.stride[d] * below(random, d == rank - 1 ? 2 : extent[d] - size[d] + 1);
    if (layout == Layout::sliced && d == rank - 1) t.stride[d] *= 2;
    if (layout == Layout::reversed && size[d] > 0) t.offset += t.stride[d] * (size[d] - 1);
    if (layout == Layout::reversed) t.stride[d] = -t.stride[d];
  }
  if (layout != Layout::contiguous) {  // memory on both sides of the tensor, which must not change
    const int64_t before = 1 + below(random, 3);
    t.offset += before;
    elements += before + 1 + below(random, 3);
  }
  t.bytes.resize(size_t(elements * size_of(dtype)));
  for (int64_t i = 0; i < elements; i++) write_element(dtype, t.bytes.data() + i * size_of(dtype), values(random));
  return t;
}

}  // namespace tests
