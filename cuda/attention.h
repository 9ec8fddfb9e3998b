// What attention and its gradient share: a problem as the kernels take it.
#pragma once
#include <cmath>
#include "../kernels/table.h"
#include "element.h"
#include "launch.h"

namespace castor::cuda::flash {

constexpr float LOG2_E = 1.44269504f;
constexpr float HIDDEN = -INFINITY;  // score of a key that a query does not see

// A (B, H, rows, columns) tensor. Strides in elements.
struct Rows {
  char *data;
  DType dtype;
  int64_t batch, head, row, column;
};

// Added to the scores, or (bool) whether a key is seen. Strides along (B, H, L, S), 0 where it is broadcast.
struct Mask {
  const char *data;  // null where there is none
  DType dtype;
  int64_t batch, head, query, key;
};

struct Problem {
  Rows q, k, v;
  Mask mask;
  int all_heads, heads, queries, keys, e, f;  // B H, H, L, S, E, F
  double scale;
  bool causal;
};

// float32 (float64) per (b, h, query).
struct Statistic {
  char *data;
  DType dtype;
  int64_t batch, head, row;
};

inline Rows rows_of(const View &x) { return {x.as<char>(), x.dtype, x.stride[0], x.stride[1], x.stride[2], x.stride[3]}; }
inline Statistic statistic_of(const View &x) { return {x.as<char>(), x.dtype, x.stride[0], x.stride[1], x.stride[2]}; }

// The problem on the device for the length of a launcher: a mask that is one value on the host has to get there first.
class Arguments {
 public:
  Problem problem;

  Arguments(Context &context, const View &q, const View &k, const View &v, const View *mask, double scale, bool causal)
      : value_(context, mask && mask->constant ? size_of(mask->dtype) : 0) {
    problem = {rows_of(q), rows_of(k), rows_of(v), {}, int(q.size[0] * q.size[1]), int(q.size[1]), int(q.size[2]), int(k.size[2]),
               int(q.size[3]), int(v.size[3]), scale, causal};
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

// A block's head, and which of the `blocks` of that head it is.
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

// The mask is a bool or a float.
template <class F> __device__ __forceinline__ void with_mask_dtype(DType d, F f) {
  d == DType::boolean ? f(Bool{}) : with_float_dtype(d, f);
}

}  // namespace castor::cuda::flash
