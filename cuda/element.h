// Elements of a dtype that is known at run time, converted to the type of the arithmetic (float, double, int64_t), one at a time or as a
// vector. The switch on the dtype costs no measurable time, because every thread of a launch takes the same branch and loads 16 bytes in
// it. Therefore one kernel serves every pair of dtypes.
#pragma once
#include "../kernels/dtype.h"
#include "gpu.h"

namespace castor::cuda {

constexpr int VECTOR_WIDTH = 8;  // elements of a vector access: 16 bytes of a 16-bit dtype

template <class T, int W = VECTOR_WIDTH> struct Vector { T v[W]; };
// One that lies at a multiple of 16 bytes, so that it is read and written 16 bytes at a time.
template <class T, int W = VECTOR_WIDTH> struct alignas(16) AlignedVector : Vector<T, W> {};

// An input of a kernel: memory, or one value if data is null.
struct Operand {
  const char *data;
  DType dtype;
  alignas(8) unsigned char value[8];

  template <class T> __device__ T constant() const;
};

inline Operand operand(const View &v) {
  Operand o{v.constant ? nullptr : v.as<const char>(), v.dtype, {}};
  memcpy(o.value, v.value, sizeof o.value);
  return o;
}

// Calls f with a value of the element type, as with_dtype does on the host.
template <class F> __device__ __forceinline__ void with_device_dtype(DType d, F f) {
  switch (d) {
    case DType::f32: return f(float{});
    case DType::f16: return f(Half{});
    case DType::bf16: return f(BFloat{});
    case DType::f64: return f(double{});
    case DType::i32: return f(int32_t{});
    case DType::i64: return f(int64_t{});
    case DType::u8: return f(uint8_t{});
    case DType::boolean: return f(Bool{});
  }
}

// Element i.
template <class T> __device__ __forceinline__ T load(const void *from, DType dtype, int64_t i) {
  T x{};
  with_device_dtype(dtype, [&](auto element) { x = convert<T>(static_cast<const decltype(element) *>(from)[i]); });
  return x;
}

template <class T> __device__ __forceinline__ void store(void *to, DType dtype, int64_t i, T x) {
  with_device_dtype(dtype, [&](auto element) {
    using S = decltype(element);
    static_cast<S *>(to)[i] = convert<S>(x);
  });
}

template <class T> __device__ __forceinline__ T Operand::constant() const { return load<T>(value, dtype, 0); }

// The elements of type S that one access loads: 16 bytes, or all W of them if they are fewer.
template <class S, int W> struct alignas(sizeof(S) * W < 16 ? sizeof(S) * W : 16) Access {
  static constexpr int lanes = sizeof(S) * W < 16 ? W : 16 / sizeof(S);
  S v[lanes];
};

// Loads the elements i .. i + W. Their address has to be a multiple of their size in bytes, or of 16.
template <class T, int W = VECTOR_WIDTH> __device__ __forceinline__ Vector<T, W> load_vector(const void *from, DType dtype, int64_t i) {
  Vector<T, W> vector{};
  with_device_dtype(dtype, [&](auto element) {
    using S = decltype(element);
    using Wide = Access<S, W>;
    const Wide *wide = reinterpret_cast<const Wide *>(static_cast<const S *>(from) + i);
    GPU_UNROLL for (int k = 0; k < W / Wide::lanes; k++) {
      const Wide w = wide[k];
      GPU_UNROLL for (int j = 0; j < Wide::lanes; j++) vector.v[k * Wide::lanes + j] = convert<T>(w.v[j]);
    }
  });
  return vector;
}

template <class S, class T, int W> __device__ __forceinline__ void store_vector_as(void *to, int64_t i, const Vector<T, W> &vector) {
  using Wide = Access<S, W>;
  Wide *wide = reinterpret_cast<Wide *>(static_cast<S *>(to) + i);
  GPU_UNROLL for (int k = 0; k < W / Wide::lanes; k++) {
    Wide w;
    GPU_UNROLL for (int j = 0; j < Wide::lanes; j++) w.v[j] = convert<S>(vector.v[k * Wide::lanes + j]);
    wide[k] = w;
  }
}

template <class T, int W> __device__ __forceinline__ void store_vector(void *to, DType dtype, int64_t i, const Vector<T, W> &vector) {
  with_device_dtype(dtype, [&](auto element) { store_vector_as<decltype(element)>(to, i, vector); });
}

// Whether data is aligned for vector accesses of `width` elements at every multiple of `width` elements.
inline bool vector_aligned(const void *data, DType dtype, int width = VECTOR_WIDTH) {
  const int64_t unit = size_of(dtype) * width < 16 ? size_of(dtype) * width : 16;
  return reinterpret_cast<uintptr_t>(data) % unit == 0;
}

}  // namespace castor::cuda
