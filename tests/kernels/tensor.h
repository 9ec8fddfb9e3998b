// Random tensors of any dtype, shape and layout. They are stored as the bytes of their storage, so that two devices get the same ones.
#pragma once
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>
#include "../../abi/castor.h"

namespace tests {

constexpr castor_dtype f32 = CASTOR_FLOAT32, f16 = CASTOR_FLOAT16, bf16 = CASTOR_BFLOAT16, f64 = CASTOR_FLOAT64, i32 = CASTOR_INT32,
                       i64 = CASTOR_INT64, u8 = CASTOR_UINT8, boolean = CASTOR_BOOL;
constexpr castor_dtype FLOATS[] = {f32, f16, bf16, f64};
constexpr castor_dtype DTYPES[] = {f32, f16, bf16, f64, i32, i64, u8, boolean};

const char *name_of(castor_dtype dtype);
int64_t size_of(castor_dtype dtype);
inline bool is_float(castor_dtype dtype) { return dtype <= f64; }
double read_element(castor_dtype dtype, const void *from);
void write_element(castor_dtype dtype, void *to, double value);

using Random = std::mt19937_64;
using Shape = std::vector<int64_t>;
std::string to_string(const Shape &shape);
int64_t count_of(const Shape &shape);

// ---- values ----------------------------------------------------------------------------------------------------------

using Values = std::function<double(Random &)>;
Values normal(double deviation = 1);
Values uniform(double low, double high);
Values whole(int64_t low, int64_t high);  // both included
Values some_of(std::vector<double> list);
// Values as given, one in eight of them a NaN, an infinity, a zero of either sign, very small or very large.
Values with_specials(Values values);

// ---- layouts ---------------------------------------------------------------------------------------------------------

enum class Layout {
  contiguous,
  shifted,     // contiguous, and begins where no packet of elements may
  transposed,  // the axes lie in memory in another order
  sliced,      // every axis is part of a longer one; a step of two on the last
  reversed,    // strides are negative
  broadcast,   // stride 0 on some axes: inputs only
};
constexpr Layout LAYOUTS[] = {Layout::contiguous, Layout::shifted, Layout::transposed, Layout::sliced, Layout::reversed, Layout::broadcast};
const char *name_of(Layout layout);

struct Tensor {
  castor_dtype dtype = f32;
  Shape size, stride;
  int64_t offset = 0;
  std::vector<unsigned char> bytes;  // of the storage
  std::string layout;

  int64_t elements() const { return int64_t(bytes.size()) / size_of(dtype); }  // of the storage
  castor_view view(castor_handle storage) const;
  // Calls f(index of the element in the storage, number of the element in row-major order).
  void each(const std::function<void(int64_t, int64_t)> &f) const;
  std::string describe() const;
};

Tensor make_tensor(Random &random, castor_dtype dtype, const Shape &size, Layout layout, const Values &values);

}  // namespace tests
