// Running a function over whole tensors of any layout and dtype: one kernel for a function and a type of its arithmetic.
#pragma once
#include "element.h"
#include "launch.h"
#include "layout.h"

namespace castor::cuda {

// A thread takes PACKETS packets of WIDTH neighbouring elements, a block apart, so that a warp's accesses have no gaps in any dtype,
// and has all their loads under way before it uses the first. Packets need inner strides of 1 (or 0, for an input), aligned;
// elsewhere, and at the ragged end, it takes as many single elements, a block apart.
constexpr int WIDTH = 4, PACKETS = 2, EACH = WIDTH * PACKETS;

// Operand 0 of the layout is the output.
template <int N> struct Map {
  Layout<N + 1> layout;
  char *out;
  DType dtype;
  Operand in[N ? N : 1];
  int step[N ? N : 1];  // in packets: from an element to the next, 0 or 1
  uint32_t n;           // elements
  bool packets;
};

// A packet as it lies in memory, converted when all are there. Dtypes wider than T do not come in packets.
template <class T> struct Raw { uint4 bits[sizeof(T) / 4]; };

template <class T> __device__ __forceinline__ Raw<T> load_raw(const char *from, DType dtype, int64_t i) {
  Raw<T> raw{};
  switch (dtype) {
    case DType::u8:
    case DType::boolean: raw.bits[0].x = *reinterpret_cast<const uint32_t *>(from + i); break;
    case DType::f16:
    case DType::bf16: {
      const uint2 half = *reinterpret_cast<const uint2 *>(from + 2 * i);
      raw.bits[0].x = half.x;
      raw.bits[0].y = half.y;
      break;
    }
    case DType::f32:
    case DType::i32: raw.bits[0] = *reinterpret_cast<const uint4 *>(from + 4 * i); break;
    case DType::f64:
    case DType::i64:
      if constexpr (sizeof(T) == 8) raw = *reinterpret_cast<const Raw<T> *>(from + 8 * i);
  }
  return raw;
}

template <class T> __device__ __forceinline__ void unpack(T *x, const Raw<T> &raw, DType dtype) {
  with_device_dtype(dtype, [&](auto element) {
    using S = decltype(element);
    if constexpr (sizeof(S) <= sizeof(T)) {
      Packet<S, WIDTH> packet;
      memcpy(&packet, &raw, sizeof packet);
      GPU_UNROLL for (int j = 0; j < WIDTH; j++) x[j] = convert<T>(packet.v[j]);
    }
  });
}

template <class T, int N, class F> __device__ __forceinline__ void map_packets(const Map<N> &m, uint32_t block, const F &f) {
  int64_t offset[PACKETS][N + 1];
  GPU_UNROLL for (int p = 0; p < PACKETS; p++) m.layout.offsets(block + (p * blockDim.x + threadIdx.x) * WIDTH, offset[p]);
  T x[N ? N : 1][EACH];
  Raw<T> raw[N ? N : 1][PACKETS];
  GPU_UNROLL for (int k = 0; k < N; k++) {
    if (m.step[k]) GPU_UNROLL for (int p = 0; p < PACKETS; p++) raw[k][p] = load_raw<T>(m.in[k].data, m.in[k].dtype, offset[p][k + 1]);
  }
  GPU_UNROLL for (int k = 0; k < N; k++) {
    const Operand &in = m.in[k];
    GPU_UNROLL for (int p = 0; p < PACKETS; p++) {
      if (m.step[k]) {
        unpack(x[k] + p * WIDTH, raw[k][p], in.dtype);
      } else {
        const T one = in.data ? load<T>(in.data, in.dtype, offset[p][k + 1]) : in.template constant<T>();
        GPU_UNROLL for (int j = 0; j < WIDTH; j++) x[k][p * WIDTH + j] = one;
      }
    }
  }
  GPU_UNROLL for (int p = 0; p < PACKETS; p++) {
    Packet<T, WIDTH> y;
    GPU_UNROLL for (int j = 0; j < WIDTH; j++) {
      T each[N ? N : 1];
      GPU_UNROLL for (int k = 0; k < N; k++) each[k] = x[k][p * WIDTH + j];
      y.v[j] = f(each);
    }
    store_packet(m.out, m.dtype, offset[p][0], y);
  }
}

template <class T, int N, class F> __device__ __forceinline__ void map_elements(const Map<N> &m, uint32_t block, const F &f) {
  for (uint32_t e = 0; e < EACH; e++) {
    const uint32_t i = block + e * blockDim.x + threadIdx.x;
    if (i >= m.n) return;
    int64_t offset[N + 1];
    m.layout.offsets(i, offset);
    T x[N ? N : 1];
    GPU_UNROLL for (int k = 0; k < N; k++)
      x[k] = m.in[k].data ? load<T>(m.in[k].data, m.in[k].dtype, offset[k + 1]) : m.in[k].template constant<T>();
    store(m.out, m.dtype, offset[0], f(x));
  }
}

template <class T, int N, class F> __global__ void __launch_bounds__(512) map_kernel(const __grid_constant__ Map<N> m, F f) {
  const uint32_t block = blockIdx.x * blockDim.x * EACH;
  if (m.packets && m.n - block >= blockDim.x * EACH) map_packets<T>(m, block, f);
  else map_elements<T>(m, block, f);
}

template <int N> bool in_packets(const Loop<N> &loop, int k, const void *data, DType dtype) {
  for (int d = 0; d < loop.rank - 1; d++)
    if (loop.stride[k][d] % WIDTH) return false;
  return loop.inner_stride(k) == 1 && packet_aligned(data, dtype, WIDTH);
}

// Where the loop's operands begin, and how the kernel may take them.
template <class T, int N> Map<N> make_map(const Loop<N + 1> &loop, const int64_t (&offset)[N + 1], const View &out, const View *const *inputs) {
  Map<N> m;
  m.layout = make_layout(loop, loop.rank);
  m.out = at(out, offset[0]);
  m.dtype = out.dtype;
  m.n = uint32_t(elements(loop));
  m.packets = (loop.rank <= 1 || loop.inner() % WIDTH == 0) && in_packets(loop, 0, m.out, m.dtype);
  for (int k = 0; k < N; k++) {
    m.in[k] = operand(*inputs[k]);
    if (m.in[k].data) m.in[k].data += offset[k + 1] * size_of(inputs[k]->dtype);
    m.step[k] = int(loop.inner_stride(k + 1) != 0);
    const bool fits = size_of(inputs[k]->dtype) <= int64_t(sizeof(T)) && in_packets(loop, k + 1, m.in[k].data, m.in[k].dtype);
    m.packets = m.packets && (m.step[k] == 0 || fits);
  }
  return m;
}

// out = f(inputs), elementwise: f takes an array of one value of each.
template <class T, int N, class F> void map(const char *name, const View &out, const View *const *inputs, F f) {
  const View *views[N + 1] = {&out};
  for (int k = 0; k < N; k++) views[k + 1] = inputs[k];
  Loop<N + 1> loop = make_loop(out, views);
  order_by_stride(loop);
  Context &context = context_of(out);
  const int threads = block_threads(256);
  for_each_part(loop, [&](const Loop<N + 1> &part, const int64_t (&offset)[N + 1], int64_t) {
    const Map<N> m = make_map<T, N>(part, offset, out, inputs);
    launch(context, name, map_kernel<T, N, F>, dim3(unsigned(blocks_for(m.n, int64_t(threads) * EACH))), threads, 0, m, f);
  });
}

}  // namespace castor::cuda
