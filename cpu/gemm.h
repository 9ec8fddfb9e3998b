// The matrix product behind matmul, convolution and attention: C (m, n) = A (m, k) B (k, n). A unit (see gemm_units.h) says what operands
// are read as and what they are summed in. Operands of any layout and dtype are read as lines and packed into panels. The results do not
// depend on the number of threads or on the blocking.
#pragma once
#include <algorithm>
#include "../kernels/ops.h"
#include "gemm_units.h"
#include "scratch.h"
#include "threads.h"
#include "tile.h"

namespace castor::CASTOR_ISA {

constexpr int64_t LINE = 512;  // the largest number of elements that packing requests a line for

// Element (x, p) of an operand in memory is at data[x * row + p * step].
template <class T> struct Elements { const T *data; int64_t row, step; };

// One operand of the product. x is a row of A or a column of B, p runs along k.
template <class T> class Operand {
 public:
  // The direction of the lines in which the operand is read, which is the one contiguous in memory: along p at a fixed x, or along x at a
  // fixed p.
  bool along_k;
  // `count` elements from `from` on: either a pointer to the operand's own memory, or to scratch, which is filled with them.
  virtual const T *line(T *scratch, int64_t fixed, int64_t from, int64_t count) const = 0;
  // The operand itself, if its lines lie in memory as elements of T, so that it need not be packed. Else data is null.
  virtual Elements<T> elements() const { return {nullptr, 0, 0}; }
  // The line as it lies in memory from `from` on, if its elements are float16 there. Else null.
  virtual const Half *halves(int64_t, int64_t) const { return nullptr; }

 protected:
  explicit Operand(bool along_k) : along_k(along_k) {}
  ~Operand() = default;
};

// A matrix in memory. Strides are in elements of dtype; they may be 0 or negative.
struct Matrix {
  void *data;
  DType dtype;
  int64_t row, column;
};

template <class T> class Strided final : public Operand<T> {
 public:
  Strided(const Matrix &a, int64_t x_stride, int64_t k_stride)
      : Operand<T>(std::abs(k_stride) < std::abs(x_stride)), data_(static_cast<const char *>(a.data)), load_(loader<T>(a.dtype)),
        bytes_(size_of(a.dtype)), step_(this->along_k ? k_stride : x_stride), jump_(this->along_k ? x_stride : k_stride),
        borrow_(a.dtype == dtype_of<T> && step_ == 1), halves_(a.dtype == DType::f16 && step_ == 1) {}
  const T *line(T *scratch, int64_t fixed, int64_t from, int64_t count) const override {
    if (borrow_) return reinterpret_cast<const T *>(place(fixed, from));
    load_(scratch, place(fixed, from), step_, count);
    return scratch;
  }
  Elements<T> elements() const override {
    return {borrow_ ? reinterpret_cast<const T *>(data_) : nullptr, this->along_k ? jump_ : 1, this->along_k ? 1 : jump_};
  }
  const Half *halves(int64_t fixed, int64_t from) const override {
    return halves_ ? reinterpret_cast<const Half *>(place(fixed, from)) : nullptr;
  }

 private:
  const char *data_;
  Loader<T> load_;
  int64_t bytes_, step_, jump_;  // step: stride within a line; jump: stride from line to line
  bool borrow_, halves_;

  const char *place(int64_t fixed, int64_t from) const { return data_ + (fixed * jump_ + from * step_) * bytes_; }
};

// An operand of bfloat16, read as lines of float. widened() makes one of any operand.
class Widened final : public Operand<float> {
 public:
  explicit Widened(const Operand<BFloat> &whole) : Operand<float>(whole.along_k), whole_(whole) {}
  const float *line(float *scratch, int64_t fixed, int64_t from, int64_t count) const override {
    alignas(64) BFloat buffer[LINE];
    convert_tile(scratch, whole_.line(buffer, fixed, from, count), count);
    return scratch;
  }

 private:
  const Operand<BFloat> &whole_;
};
static inline Widened widened(const Operand<BFloat> &a) { return Widened(a); }
template <class T> const Operand<T> &widened(const Operand<T> &a) { return a; }

// The output C of a product: C = activation(sums + bias), rounded once, or C += sums. Column j is read as a mixed-radix number
// over up to three dimensions, outermost first, such as (image, y, x) of a pixel, to find its offset. A plain matrix has one dimension.
template <class T> struct Result {
  struct Dimension { int64_t size, stride; };

  void *data;
  DType dtype;
  int64_t row;                                    // stride
  Dimension high{1, 0}, middle{1, 0}, low{1, 0};
  const T *bias = nullptr;
  int64_t bias_row = 0, bias_column = 0;          // strides
  Activation activation = Activation::none;
  bool accumulate = false;                        // requires dtype T and columns of stride 1
  bool alone = false;                             // run on the calling thread only, because the other threads are busy

  Result(const Matrix &c, int64_t n) : data(c.data), dtype(c.dtype), row(c.row), low{n, c.column} {}
  Result(void *data, DType dtype, int64_t row, Dimension a, Dimension b, Dimension c) : data(data), dtype(dtype), row(row) {
    for (Dimension next : {a, b, c}) append(next);
  }

  int64_t offset(int64_t i, int64_t j) const {
    int64_t upper = j / low.size;
    return i * row + upper / middle.size * high.stride + upper % middle.size * middle.stride + j % low.size * low.stride;
  }

 private:
  void append(Dimension next) {
    if (next.size == 1) return;
    if (low.size == 1) low = next;
    else if (low.stride == next.size * next.stride) low = {low.size * next.size, next.stride};
    else high = middle, middle = low, low = next;
  }
};

template <class Unit> void gemm(int64_t m, int64_t n, int64_t k, const Operand<typename Unit::Line> &a,
                                const Operand<typename Unit::Line> &b, Result<typename Unit::Sum> c);

// The columns of a panel of packed weights, and c = a b for panels [panel][p][column] that hold b (k, n) in float32. What is past n is not
// used. The sums of a row do not depend on the other rows, nor on how many there are.
extern const int panel_columns;
void gemm_packed(int64_t m, int64_t n, int64_t k, const Matrix &a, const float *panels, const Result<float> &c);

template <class Unit> void gemm(int64_t m, int64_t n, int64_t k, const Matrix &a, const Matrix &b, const Result<typename Unit::Sum> &c) {
  using Line = typename Unit::Line;
  gemm<Unit>(m, n, k, Strided<Line>(a, a.row, a.column), Strided<Line>(b, b.column, b.row), c);
}

// Calls body(i, alone) for each of `count` products of `work` multiplications. Large products run one after the other, each on all threads;
// small ones run side by side, one on each thread.
template <class Body> void for_products(int64_t count, int64_t work, Body body) {
  constexpr int64_t LARGE = int64_t(1) << 22, GRAIN = int64_t(1) << 16;
  const bool alone = count > 1 && work < LARGE;
  const int64_t grain = alone ? std::max(int64_t(1), GRAIN / std::max(int64_t(1), work)) : count;
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) body(i, alone);
  });
}

}  // namespace castor::CASTOR_ISA
