// The description of a problem that the kernels of attention and of its gradient receive.
#pragma once
#include <cmath>
#include "../kernels/table.h"
#include "element.h"
#include "launch.h"
#include "random.h"
#include "../kernels/philox.h"

namespace castor::cuda::flash {

constexpr float LOG2_E = 1.44269504f;
constexpr float HIDDEN = -INFINITY;  // the score of a key that the query may not see

// A tensor (B, H, rows, columns). Strides are in elements.
struct Rows {
  char *data;
  DType dtype;
  int64_t batch, head, row, column;
};

// The mask: a float is added to the score, a bool says whether the key is visible. It has strides along (B, H, L, S), 0 where it is
// broadcast.
struct Mask {
  const char *data;  // null if there is no mask
  DType dtype;
  int64_t batch, head, query, key;
};

// Dropout of the probabilities. Those whose random number is below `limit` become 0, the others are multiplied by `kept`. A limit of 0
// means no dropout.
struct Dropout {
  RandomState random;
  uint32_t limit;
  double kept;

  __device__ __forceinline__ bool drops(uint32_t word) const { return word >> 8 < limit; }
};

struct Problem {
  Rows q, k, v;
  Mask mask;
  int all_heads, heads, queries, keys, e, f;  // B H, H, L, S, E, F
  double scale;
  bool causal;
  Dropout dropout;
};

// A statistic of each (b, h, query), in float32 (float64 for float64 attention).
struct Statistic {
  char *data;
  DType dtype;
  int64_t batch, head, row;
};

inline Rows rows_of(const View &x) { return {x.as<char>(), x.dtype, x.stride[0], x.stride[1], x.stride[2], x.stride[3]}; }
inline Statistic statistic_of(const View &x) { return {x.as<char>(), x.dtype, x.stride[0], x.stride[1], x.stride[2]}; }

// The arguments of the kernels, kept alive while a launcher runs. A mask that is a single value on the host is first copied to the device.
class Arguments {
 public:
  Problem problem;

  Arguments(Context &context, const View &q, const View &k, const View &v, const View *mask, double scale, bool causal, const Dropping &d)
      : value_(context, mask && mask->constant ? size_of(mask->dtype) : 0) {
    problem = {rows_of(q), rows_of(k), rows_of(v), {}, int(q.size[0] * q.size[1]), int(q.size[1]), int(q.size[2]), int(k.size[2]),
               int(q.size[3]), int(v.size[3]), scale, causal,
               {{d.seed, d.offset, context.random_base}, threshold(d.p), d.p < 1 ? 1 / (1 - d.p) : 0}};
    if (!mask) return;
    int64_t stride[4] = {};
    for (int axis = 0; axis < mask->rank; axis++) stride[4 - mask->rank + axis] = mask->size[axis] == 1 ? 0 : mask->stride[axis];
    problem.mask = {mask->as<const char>(), mask->dtype, stride[0], stride[1], stride[2], stride[3]};
    if (!mask->constant) return;
    View value;
    value.data = value_.as<char>();
    value.dtype = mask->dtype;
    value.device = q.device;
    copy(*mask, value);
    problem.mask.data = value_.as<char>();
  }

 private:
  Scratch value_;
};

// The head that a block works on, and the number of the block among the `blocks` of this head.
struct Place {
  int flat, batch, head, block;
};
__device__ __forceinline__ Place place_of(const Problem &p, int blocks) {
  const int flat = int(blockIdx.x) / blocks;
  return {flat, flat / p.heads, flat % p.heads, int(blockIdx.x) % blocks};
}

template <class X> __device__ __forceinline__ int64_t offset_of(const X &x, const Place &place, int row) {
  return place.batch * x.batch + place.head * x.head + row * x.row;
}

template <class F> __device__ __forceinline__ void with_float_dtype(DType d, F f) {
  switch (d) {
    case DType::f16: return f(Half{});
    case DType::bf16: return f(BFloat{});
    case DType::f64: return f(double{});
    default: return f(float{});
  }
}

template <class T> __device__ __forceinline__ T load_float(const void *from, DType dtype, int64_t i) {
  T x{};
  with_float_dtype(dtype, [&](auto element) { x = convert<T>(static_cast<const decltype(element) *>(from)[i]); });
  return x;
}

}  // namespace castor::cuda::flash
