// The matrix product behind matmul and convolution: c (m, n) = activation(a (m, k) b (k, n) + bias), for each of `batch` matrices.
#pragma once
#include <algorithm>
#include <initializer_list>
#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "element.h"
#include "launch.h"
#include "layout.h"

namespace castor::cuda {

// The position of an element of an operand: its offset, and coordinates that have to be inside the image.
struct Position { int64_t offset; int32_t y, x; };

// An index of a product, read as a mixed-radix number of up to three dimensions (high, middle, low), such as (image, y, x) of a pixel or
// (channel, y, x) of a tap. A plain row or column number has only the low dimension.
struct MixedRadixIndex {
  struct Dimension { int64_t size, stride; };

  Divider low, middle;
  int64_t stride[3];                                         // in elements, along the high, middle and low dimension
  int64_t first = 0;                                         // offset of index 0
  int32_t first_y = 0, first_x = 0, step_y = 0, step_x = 0;  // coordinates: first + step times the middle or low index

  MixedRadixIndex(Dimension high, Dimension middle, Dimension low)
      : low(divisor_of(low)), middle(divisor_of(middle)), stride{high.stride, middle.stride, low.stride} {}
  MixedRadixIndex(int64_t size, int64_t stride) : MixedRadixIndex({1, 0}, {1, 0}, {size, stride}) {}

  // Merges dimensions whose strides allow it, for an index without coordinates.
  static MixedRadixIndex merged(std::initializer_list<Dimension> outermost_first) {
    Dimension high{1, 0}, middle{1, 0}, low{1, 0};
    for (Dimension next : outermost_first) {
      if (next.size == 1) continue;
      if (low.size == 1) low = next;
      else if (low.stride == next.size * next.stride) low = {low.size * next.size, next.stride};
      else high = middle, middle = low, low = next;
    }
    return {high, middle, low};
  }

  // Whether index i is at the offset i * stride[2], without coordinates.
  bool plain(int64_t size) const { return low.divisor >= size && first == 0 && !first_y && !first_x && !step_y && !step_x; }

  __device__ __forceinline__ Position position(uint32_t i) const {
    const uint32_t upper = low.quotient(i), l = i - upper * low.divisor, h = middle.quotient(upper), m = upper - h * middle.divisor;
    return {first + h * stride[0] + m * stride[1] + l * stride[2], first_y + int32_t(m) * step_y, first_x + int32_t(l) * step_x};
  }

 private:
  static uint32_t divisor_of(Dimension d) { return uint32_t(std::max<int64_t>(d.size, 1)); }
};

// An operand of a product. x is a row of a or a column of b, and k runs along the sum. Elements whose coordinates are outside height x
// width are zero.
struct GemmOperand {
  const char *data;
  DType dtype;
  MixedRadixIndex x, k;
  bool along_k;                    // whether memory is contiguous along k rather than along x
  int32_t height = 1, width = 1;
  // Whether its rows, along k or x as along_k says, allow 16-byte accesses without checks of elements. Set by multiply().
  bool in_rows = false;
  // Whether, besides, 16 bytes can be read wherever a row still has an element: elements beyond the end of a row along k are zeros, those
  // beyond a row along x may have any value, because the sums that they enter are not stored.
  bool whole = false;

  __device__ __forceinline__ bool inside(const Position &p, const Position &q) const {
    return uint32_t(p.y + q.y) < uint32_t(height) && uint32_t(p.x + q.x) < uint32_t(width);
  }
};

struct Result {
  char *data;
  DType dtype;
  int64_t row;                                            // stride
  MixedRadixIndex column;
  bool vectors = false;                                   // VECTOR_WIDTH aligned columns are one access; set by multiply()
  const char *bias = nullptr;
  DType bias_dtype = DType::f32;
  int64_t bias_row = 0, bias_column = 0;                  // strides
  Activation activation = Activation::none;
};

struct GemmProblem {
  int32_t m, n, k, batch = 1;
  GemmOperand a, b;
  Result c;
  Layout<4> strides;                                      // of the batch: those of a, b, c and the bias
};

// The division of a product into blocks: a grid of tiles for each matrix of the batch and each part of k (split-K).
struct TileSchedule {
  int32_t tiles_m, tiles_n, splits, k_per_split;
  void *partial;                              // (splits, batch, m, n) partial sums, if there is more than one part
};

// The part of the product that a block computes: rows from `row`, columns from `column`, and the sum from k_begin to k_end.
struct TileCoord { int32_t row, column, batch, split, k_begin, k_end; };

// Blocks that run at the same time compute groups of tiles that are about square, so that the parts of a and b that they read stay in the
// L2 cache.
__device__ __forceinline__ TileCoord tile_coord(const GemmProblem &p, const TileSchedule &schedule, int tile_m, int tile_n) {
  constexpr uint32_t GROUP = 8;
  const uint32_t tiles = uint32_t(schedule.tiles_m) * schedule.tiles_n, matrix = blockIdx.x / tiles, tile = blockIdx.x % tiles;
  const uint32_t split = matrix / p.batch, group = tile / (GROUP * schedule.tiles_n), inside = tile % (GROUP * schedule.tiles_n);
  const uint32_t rows = min(uint32_t(schedule.tiles_m) - group * GROUP, GROUP);
  const int32_t begin = int32_t(split) * schedule.k_per_split;
  return {int32_t((group * GROUP + inside % rows) * tile_m), int32_t(inside / rows * tile_n), int32_t(matrix % p.batch), int32_t(split),
          begin, int32_t(min(int64_t(begin) + schedule.k_per_split, int64_t(p.k)))};
}

// The offsets of a matrix of the batch, in elements.
struct Offsets { int64_t a, b, c, bias; };
__device__ __forceinline__ Offsets offsets_of(const GemmProblem &p, int32_t batch) {
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

// The epilogue of one element: adds the bias to a finished sum (i, j), applies the activation, and stores it.
template <class T> __device__ __forceinline__ void store_sum(const Result &c, const Offsets &offset, int32_t i, int32_t j, T sum) {
  if (c.bias) sum = m::add(sum, load<T>(c.bias, c.bias_dtype, offset.bias + i * c.bias_row + j * c.bias_column));
  store<T>(c.data, c.dtype, offset.c + i * c.row + c.column.position(uint32_t(j)).offset, activate(sum, c.activation));
}

// Returns the address at which the reduction finds the sum (i, j) of a part of k.
template <class T> __device__ __forceinline__ T *partial_sum(const GemmProblem &p, const TileSchedule &schedule, const TileCoord &coord,
                                                             int32_t i, int32_t j) {
  return static_cast<T *>(schedule.partial) + ((int64_t(coord.split) * p.batch + coord.batch) * p.m + i) * p.n + j;
}

// Stores the sum of a part of k. With one part it is finished and goes through the epilogue, else it is stored for the reduction.
template <class T> __device__ __forceinline__ void store_partial_sum(const GemmProblem &p, const TileSchedule &schedule,
                                                                     const TileCoord &coord, const Offsets &offset, int32_t i, int32_t j,
                                                                     T sum) {
  if (schedule.splits == 1) return store_sum(p.c, offset, i, j, sum);
  *partial_sum<T>(p, schedule, coord, i, j) = sum;
}

// ---- on the host -----------------------------------------------------------------------------------------------------

// A kernel that computes tiles of a product.
struct TileKernel {
  const char *name;
  void (*kernel)(GemmProblem, TileSchedule);
  int tile_m, tile_n, depth, threads, resident;  // depth: parts of k are multiples of it; resident: blocks that a multiprocessor holds
  int64_t shared;                                // bytes
  double speed;                                  // multiplications per unit of time, relative to the other kernels of the family
};

// Launches the kernel with the lowest estimated time for this product. Sums are of type T: float, double or int64_t.
template <class T> void run(Context &context, const GemmProblem &product, const TileKernel *kernels, int count);

// Computes the product.
void multiply(Context &context, GemmProblem product);

// Computes a product whose k is that of `parts` products, one after another: c = a1 b1 + a2 b2 + ... `product` describes the first one, and
// the others are a_step and b_step elements apart. Returns false, and has done nothing, where one product over all of k is faster.
bool multiply_parts(Context &context, const GemmProblem &product, int64_t parts, int64_t a_step, int64_t b_step);

// Adds `parts` sums of each element of c, which are (parts, batch, m, n) floats, and applies the epilogue.
void add_parts(Context &context, GemmProblem product, int64_t parts, void *partial);

// A size of a product as a 32-bit number. Throws if it is too large.
int32_t checked_side(int64_t size);

}  // namespace castor::cuda
