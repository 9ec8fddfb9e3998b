// Elements of a dtype known at run time, in the type the arithmetic runs in (float, double, int64_t), one or a packet at a time.
// Every thread of a launch takes the same branch, and what it loads is 16 bytes wide: a switch costs nothing that can be measured
// beside the memory, and one kernel serves every pair of dtypes.
#pragma once
#include "../kernels/dtype.h"
#include "gpu.h"

namespace castor::cuda {

constexpr int PACKET = 8;  // elements: 16 bytes of a 16-bit dtype

template <class T> struct Packet { T v[PACKET]; };

// An input as a kernel takes it: memory, or (data is null) one value.
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

// Elements i .. i + PACKET, in accesses of 16 bytes (8 for bytes). The address must be a multiple of the packet's size, at most 16.
template <class T> __device__ __forceinline__ Packet<T> load_packet(const void *from, DType dtype, int64_t i) {
  Packet<T> packet;
  with_device_dtype(dtype, [&](auto element) {
    using S = decltype(element);
    struct alignas(sizeof(S) == 1 ? 8 : 16) Wide { S v[sizeof(S) == 1 ? 8 : 16 / sizeof(S)]; };
    constexpr int lanes = sizeof(Wide) / sizeof(S);
    const Wide *wide = reinterpret_cast<const Wide *>(static_cast<const S *>(from) + i);
    GPU_UNROLL for (int k = 0; k < PACKET / lanes; k++) {
      const Wide w = wide[k];
      GPU_UNROLL for (int j = 0; j < lanes; j++) packet.v[k * lanes + j] = convert<T>(w.v[j]);
    }
  });
  return packet;
}

template <class T> __device__ __forceinline__ void store_packet(void *to, DType dtype, int64_t i, const Packet<T> &packet) {
  with_device_dtype(dtype, [&](auto element) {
    using S = decltype(element);
    struct alignas(sizeof(S) == 1 ? 8 : 16) Wide { S v[sizeof(S) == 1 ? 8 : 16 / sizeof(S)]; };
    constexpr int lanes = sizeof(Wide) / sizeof(S);
    Wide *wide = reinterpret_cast<Wide *>(static_cast<S *>(to) + i);
    GPU_UNROLL for (int k = 0; k < PACKET / lanes; k++) {
      Wide w;
      GPU_UNROLL for (int j = 0; j < lanes; j++) w.v[j] = convert<S>(packet.v[k * lanes + j]);
      wide[k] = w;
    }
  });
}

// Whether packets can be taken from an address that is `elements` elements after data, for every multiple of PACKET elements.
inline bool packet_aligned(const void *data, DType dtype) {
  const int64_t unit = size_of(dtype) == 1 ? 8 : 16;
  return reinterpret_cast<uintptr_t>(data) % unit == 0;
}

}  // namespace castor::cuda
