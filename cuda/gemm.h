// The product behind matmul and convolution: c (m, n) = activation(a (m, k) b (k, n) + bias), `batch` times.
#pragma once
#include <algorithm>
#include <initializer_list>
#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "element.h"
#include "launch.h"
#include "layout.h"

namespace castor::cuda {

// Where an index leads: an element offset, and coordinates that must lie within the image.
struct Spot { int64_t offset; int32_t y, x; };

// What an index of a product stands for: digits (high, middle, low), such as those of a pixel (image, y, x) or of a tap (channel, y, x).
// A plain row or column number has one digit, the low one.
struct Digits {
  struct Digit { int64_t size, stride; };

  Divider low, middle;
  int64_t stride[3];                                         // in elements, of the high, middle and low digit
  int64_t first = 0;                                         // offset of number 0
  int32_t first_y = 0, first_x = 0, step_y = 0, step_x = 0;  // coordinates: first + step times the middle or low digit

  Digits(Digit high, Digit middle, Digit low)
      : low(divisor_of(low)), middle(divisor_of(middle)), stride{high.stride, middle.stride, low.stride} {}
  Digits(int64_t size, int64_t stride) : Digits({1, 0}, {1, 0}, {size, stride}) {}

  // As few digits as the strides allow, for an index without coordinates.
  static Digits merged(std::initializer_list<Digit> outermost_first) {
    Digit high{1, 0}, middle{1, 0}, low{1, 0};
    for (Digit next : outermost_first) {
      if (next.size == 1) continue;
      if (low.size == 1) low = next;
      else if (low.stride == next.size * next.stride) low = {low.size * next.size, next.stride};
      else high = middle, middle = low, low = next;
    }
    return {high, middle, low};
  }

  // Whether number i is at i * stride[2], and has no coordinates.
  bool plain(int64_t size) const { return low.divisor >= size && first == 0 && !first_y && !first_x && !step_y && !step_x; }

  __device__ __forceinline__ Spot spot(uint32_t i) const {
    const uint32_t upper = low.quotient(i), l = i - upper * low.divisor, h = middle.quotient(upper), m = upper - h * middle.divisor;
    return {first + h * stride[0] + m * stride[1] + l * stride[2], first_y + int32_t(m) * step_y, first_x + int32_t(l) * step_x};
  }

 private:
  static uint32_t divisor_of(Digit d) { return uint32_t(std::max<int64_t>(d.size, 1)); }
};

// A factor of a product. x is a row of a or a column of b, k runs along the sum. Elements whose coordinates are outside
// height x width are zero.
struct Factor {
  const char *data;
  DType dtype;
  Digits x, k;
  bool along_k;                    // memory runs along k rather than along x
  int32_t height = 1, width = 1;
  bool in_rows = false;            // of 16-byte packets, as along_k says: what moves without a look at each element; set by multiply()

  __device__ __forceinline__ bool inside(const Spot &p, const Spot &q) const {
    return uint32_t(p.y + q.y) < uint32_t(height) && uint32_t(p.x + q.x) < uint32_t(width);
  }
};

struct Result {
  char *data;
  DType dtype;
  int64_t row;                                            // stride
  Digits column;
  bool packets = false;                                   // PACKET columns, from a multiple of it on, are one access; set by multiply()
  const char *bias = nullptr;
  DType bias_dtype = DType::f32;
  int64_t bias_row = 0, bias_column = 0;                  // strides
  Activation activation = Activation::none;
};

struct Product {
  int32_t m, n, k, batch = 1;
  Factor a, b;
  Result c;
  Layout<4> strides;                                      // of the batch: of a, b, c and the bias
};

// How a product is cut into blocks: a grid of tiles for each matrix of the batch and each part of k.
struct Cut {
  int32_t tiles_m, tiles_n, splits, k_each;
  void *partial;                              // (splits, batch, m, n) sums when there is more than one part
};

// What a block computes: rows from `row`, columns from `column`, the sum from k_begin to k_end.
struct Place { int32_t row, column, batch, split, k_begin, k_end; };

// Blocks that run at the same time form squarish groups of tiles: what they read of a and b then stays in the L2 cache.
__device__ __forceinline__ Place place_of(const Product &p, const Cut &cut, int tile_m, int tile_n) {
  constexpr uint32_t GROUP = 8;
  const uint32_t tiles = uint32_t(cut.tiles_m) * cut.tiles_n, matrix = blockIdx.x / tiles, tile = blockIdx.x % tiles;
  const uint32_t split = matrix / p.batch, group = tile / (GROUP * cut.tiles_n), inside = tile % (GROUP * cut.tiles_n);
  const uint32_t rows = min(uint32_t(cut.tiles_m) - group * GROUP, GROUP);
  const int32_t begin = int32_t(split) * cut.k_each;
  return {int32_t((group * GROUP + inside % rows) * tile_m), int32_t(inside / rows * tile_n), int32_t(matrix % p.batch), int32_t(split),
          begin, int32_t(min(int64_t(begin) + cut.k_each, int64_t(p.k)))};
}

// Of a matrix of the batch, in elements.
struct Offsets { int64_t a, b, c, bias; };
__device__ __forceinline__ Offsets offsets_of(const Product &p, int32_t batch) {
  int64_t offset[4];
  p.strides.offsets(uint32_t(batch), offset);
  return {offset[0], offset[1], offset[2], offset[3]};
}

template <class T> __device__ __forceinline__ T activate(T x, Activation activation) {
  if (activation == Activation::relu) return x <= 0 ? T(0) : x;
  if constexpr (!std::is_same_v<T, int64_t>) {
    if (activation == Activation::gelu) return m::gelu(x);
    if (activation == Activation::geluTanh) return m::gelu_tanh(x);
  }
  return x;
}

// Element (i, j) of a finished sum.
template <class T> __device__ __forceinline__ void store_sum(const Result &c, const Offsets &offset, int32_t i, int32_t j, T sum) {
  if (c.bias) sum = m::add(sum, load<T>(c.bias, c.bias_dtype, offset.bias + i * c.bias_row + j * c.bias_column));
  store<T>(c.data, c.dtype, offset.c + i * c.row + c.column.spot(uint32_t(j)).offset, activate(sum, c.activation));
}

// The same of a part of k: for store_sum when all parts are there.
template <class T>
__device__ __forceinline__ void keep_sum(const Product &p, const Cut &cut, const Place &place, const Offsets &offset, int32_t i, int32_t j, T sum) {
  if (cut.splits == 1) return store_sum(p.c, offset, i, j, sum);
  static_cast<T *>(cut.partial)[((int64_t(place.split) * p.batch + place.batch) * p.m + i) * p.n + j] = sum;
}

// ---- the host's side -----------------------------------------------------------------------------------------------------

// A kernel that computes tiles of a product.
struct TileKernel {
  const char *name;
  void (*kernel)(Product, Cut);
  int tile_m, tile_n, depth, threads, resident;  // depth: a part of k is a multiple of it; resident: blocks a multiprocessor holds
  int64_t shared;                                // bytes
  double speed;                                  // multiplications in unit time, relative to its siblings
};

// Launches the kernel that takes least time for this product. Sums are of type T: float, double, int64_t.
template <class T> void run(Context &context, const Product &product, const TileKernel *kernels, int count);

// Computes the product with the kernels of this library.
void multiply(Context &context, Product product);

// A size of a product as its kernels count.
int32_t checked_side(int64_t size);

}  // namespace castor::cuda
