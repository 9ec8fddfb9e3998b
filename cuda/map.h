// Applies a function elementwise to whole tensors of any layout and dtype. There is one kernel for each function and each type of
// arithmetic.
#pragma once
#include "element.h"
#include "launch.h"
#include "layout.h"

namespace castor::cuda {

// A thread takes vectors of WIDTH neighbouring elements, which are a block apart, so that the accesses of a warp are contiguous in any
// dtype. It starts the loads of all operands before it uses the first. Where all operands have 16 bits or fewer, its vectors are
// neighbours, so that its accesses have 16 bytes there too. Vector accesses need aligned operands with inner strides of 1 (or 0, for an
// input). The elements after the last whole vector are taken one by one. Elsewhere a thread takes single elements, a block apart.
constexpr int WIDTH = 4;
template <class T> constexpr int VECTORS = sizeof(T) == 4 ? 2 : 1;
template <class T> constexpr int EACH = WIDTH * VECTORS<T>;

// Operand 0 of the layout is the output. An input without data is a constant.
template <class T, int N> struct Map {
  Layout<N + 1> layout;
  char *out;
  DType dtype;
  struct { const char *data; DType dtype; bool advances; T constant; } in[N ? N : 1];
  uint32_t n;     // elements
  uint32_t each;  // those of a thread
  bool vectors, side_by_side;
};

// Elements of an access.
template <class T, int N> __device__ __forceinline__ uint32_t unit_of(const Map<T, N> &m) { return m.side_by_side ? EACH<T> : WIDTH; }

template <class T, int N> using Places = int64_t[VECTORS<T>][N];  // of a thread's vectors in each operand, in elements

// The vectors that a thread loads from an operand, as they are in memory. The dtype is no wider than T.
template <class T> struct Raw { uint4 bits[VECTORS<T>][sizeof(T) / 4]; };

template <int Size, class Bits, class T, int N>
__device__ __forceinline__ void load_raw(Raw<T> &raw, const char *data, const Places<T, N> &place, int k) {
  GPU_UNROLL for (int p = 0; p < VECTORS<T>; p++) {
    const Bits *from = reinterpret_cast<const Bits *>(data + place[p][k] * Size);
    GPU_UNROLL for (int c = 0; c < WIDTH * Size / int(sizeof(Bits)); c++) {
      const Bits bits = from[c];
      memcpy(&raw.bits[p][c], &bits, sizeof bits);
    }
  }
}

// For vectors that are neighbours.
template <int Size, class Bits, class T, int N>
__device__ __forceinline__ void load_raw_pair(Raw<T> &raw, const char *data, const Places<T, N> &place, int k) {
  const Bits bits = *reinterpret_cast<const Bits *>(data + place[0][k] * Size);
  memcpy(&raw.bits[0], &bits, sizeof bits / 2);
  memcpy(&raw.bits[1], reinterpret_cast<const char *>(&bits) + sizeof bits / 2, sizeof bits / 2);
}

template <class T, int N>
__device__ __forceinline__ void load_raw(Raw<T> &raw, const char *data, DType dtype, const Places<T, N> &place, int k, bool side_by_side) {
  if constexpr (VECTORS<T> == 2) {
    if (side_by_side)
      return size_of(dtype) == 2 ? load_raw_pair<2, uint4>(raw, data, place, k) : load_raw_pair<1, uint2>(raw, data, place, k);
  }
  switch (dtype) {
    case DType::f32:
    case DType::i32: return load_raw<4, uint4>(raw, data, place, k);
    case DType::f16:
    case DType::bf16: return load_raw<2, uint2>(raw, data, place, k);
    case DType::u8:
    case DType::boolean: return load_raw<1, uint32_t>(raw, data, place, k);
    case DType::f64:
    case DType::i64:
      if constexpr (sizeof(T) == 8) load_raw<8, uint4>(raw, data, place, k);
  }
}

template <class T> __device__ __forceinline__ void unpack(T (&x)[EACH<T>], const Raw<T> &raw, DType dtype) {
  with_device_dtype(dtype, [&](auto element) {
    using S = decltype(element);
    if constexpr (sizeof(S) <= sizeof(T)) {
      GPU_UNROLL for (int p = 0; p < VECTORS<T>; p++) {
        Vector<S, WIDTH> vector;
        memcpy(&vector, &raw.bits[p], sizeof vector);
        GPU_UNROLL for (int j = 0; j < WIDTH; j++) x[p * WIDTH + j] = convert<T>(vector.v[j]);
      }
    }
  });
}

// Takes those vectors of the thread that are inside the tensor. One that is not is read from where the first one is, and not stored.
template <class T, int N, class F> __device__ __forceinline__ void map_vectors(const Map<T, N> &m, uint32_t block, const F &f) {
  Places<T, N + 1> place;
  uint32_t index[VECTORS<T>];
  bool inside[VECTORS<T>];
  const uint32_t unit = unit_of(m), first = threadIdx.x * unit, step = m.side_by_side ? 1 : blockDim.x;
  GPU_UNROLL for (int p = 0; p < VECTORS<T>; p++) {
    index[p] = block + first + p * step * WIDTH;
    inside[p] = (m.side_by_side ? index[0] : index[p]) + unit <= m.n;
    if (!inside[p]) index[p] = index[0];
  }
  if (!inside[0]) return;
  m.layout.offsets(index, place);
  Raw<T> raw[N ? N : 1];
  GPU_UNROLL for (int k = 0; k < N; k++)
    if (m.in[k].advances) load_raw(raw[k], m.in[k].data, m.in[k].dtype, place, k + 1, m.side_by_side);
  T x[N ? N : 1][EACH<T>] = {};
  GPU_UNROLL for (int k = 0; k < N; k++) {
    const auto &in = m.in[k];
    if (in.advances) {
      unpack(x[k], raw[k], in.dtype);
      continue;
    }
    GPU_UNROLL for (int p = 0; p < VECTORS<T>; p++) {
      const T one = in.data ? load<T>(in.data, in.dtype, place[p][k + 1]) : in.constant;
      GPU_UNROLL for (int j = 0; j < WIDTH; j++) x[k][p * WIDTH + j] = one;
    }
  }
  union {
    Vector<T, EACH<T>> all;
    Vector<T, WIDTH> each[VECTORS<T>];
  } y;
  GPU_UNROLL for (int e = 0; e < EACH<T>; e++) {
    T each[N ? N : 1];
    GPU_UNROLL for (int k = 0; k < N; k++) each[k] = x[k][e];
    y.all.v[e] = f(each);
  }
  with_device_dtype(m.dtype, [&](auto element) {
    using S = decltype(element);
    if constexpr (VECTORS<T> == 2 && sizeof(S) <= 2) {
      if (m.side_by_side) return store_vector_as<S>(m.out, place[0][0], y.all);
    }
    GPU_UNROLL for (int p = 0; p < VECTORS<T>; p++)
      if (inside[p]) store_vector_as<S>(m.out, place[p][0], y.each[p]);
  });
}

template <class T, int N, class F> __device__ __forceinline__ void map_element(const Map<T, N> &m, uint32_t i, const F &f) {
  int64_t place[N + 1];
  m.layout.offsets(i, place);
  T x[N ? N : 1];
  GPU_UNROLL for (int k = 0; k < N; k++) x[k] = m.in[k].data ? load<T>(m.in[k].data, m.in[k].dtype, place[k + 1]) : m.in[k].constant;
  store(m.out, m.dtype, place[0], f(x));
}

template <class T, int N, class F> __global__ void __launch_bounds__(512, 1) elementwise_kernel(const __grid_constant__ Map<T, N> m, F f) {
  const uint32_t block = blockIdx.x * blockDim.x * m.each;
  uint32_t i = block + threadIdx.x, end = min(m.n, block + blockDim.x * m.each);
  if (m.vectors) {
    map_vectors(m, block, f);
    // The last threads of the last block, which most often have no vector, take what remains.
    if (end < m.n) return;
    i = m.n - m.n % unit_of(m) + (blockDim.x - 1 - threadIdx.x);
  }
  GPU_NO_UNROLL for (; i < end; i += blockDim.x) map_element(m, i, f);
}

template <int N> bool in_vectors(const Loop<N> &loop, int k, const void *data, DType dtype, int width = WIDTH) {
  for (int d = 0; d < loop.rank - 1; d++)
    if (loop.stride[k][d] % width) return false;
  return loop.inner_stride(k) == 1 && vector_aligned(data, dtype, width);
}

// Describes the operands of the loop, and how the kernel may access them.
template <class T, int N>
Map<T, N> make_map(const Loop<N + 1> &loop, const int64_t (&offset)[N + 1], const View &out, const View *const *inputs) {
  Map<T, N> m;
  m.layout = make_layout(loop, loop.rank);
  m.out = at(out, offset[0]);
  m.dtype = out.dtype;
  m.n = uint32_t(elements(loop));
  m.vectors = (loop.rank <= 1 || loop.inner() % WIDTH == 0) && in_vectors(loop, 0, m.out, m.dtype);
  const auto pairs = [&](int k, const void *data, DType dtype) { return size_of(dtype) <= 2 && in_vectors(loop, k, data, dtype, EACH<T>); };
  m.side_by_side = VECTORS<T> == 2 && (loop.rank <= 1 || loop.inner() % EACH<T> == 0) && pairs(0, m.out, m.dtype);
  for (int k = 0; k < N; k++) {
    const View &in = *inputs[k];
    auto &to = m.in[k];
    to = {in.constant ? nullptr : at(in, offset[k + 1]), in.dtype, loop.inner_stride(k + 1) != 0, T(0)};
    if (in.constant) with_dtype(in.dtype, [&](auto element) { to.constant = convert<T>(*in.as<decltype(element)>()); });
    const bool fits = size_of(in.dtype) <= int64_t(sizeof(T)) && in_vectors(loop, k + 1, to.data, to.dtype);
    m.vectors = m.vectors && (!to.advances || fits);
    m.side_by_side = m.side_by_side && (!to.advances || pairs(k + 1, to.data, to.dtype));
  }
  constexpr uint32_t FEW = 1 << 18;  // about as many elements as a GPU has threads: each gets a thread of its own
  m.each = m.vectors || m.n > FEW ? EACH<T> : 1;
  return m;
}

// out = f(inputs), elementwise. f receives an array with one value of each input.
template <class T, int N, class F> void map(const char *name, const View &out, const View *const *inputs, F f) {
  const View *views[N + 1] = {&out};
  for (int k = 0; k < N; k++) views[k + 1] = inputs[k];
  Loop<N + 1> loop = make_loop(out, views);
  order_by_stride(loop);
  Context &context = context_of(out);
  const int threads = block_threads(256);
  for_each_part(loop, [&](const Loop<N + 1> &part, const int64_t (&offset)[N + 1], int64_t) {
    const Map<T, N> m = make_map<T, N>(part, offset, out, inputs);
    launch(context, name, elementwise_kernel<T, N, F>, blocks_for(m.n, int64_t(threads) * m.each), threads, 0, m, f);
  });
}

}  // namespace castor::cuda
