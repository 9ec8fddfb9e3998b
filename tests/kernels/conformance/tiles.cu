// Matrix tiles and asynchronous copies.
#include "answers.h"

namespace conformance {
namespace {

// ---- ldmatrix: element (row, column) of tile i is 1000 i + 10 row + column + 1 --------------------------------------------------------

template <int TILES, bool TRANSPOSED> struct Load {
  static constexpr int WORDS = TILES;
  __device__ void operator()(uint32_t *out) const {
    GPU_SHARED(uint4, rows, [2][8 * TILES]);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    uint16_t *elements = reinterpret_cast<uint16_t *>(rows[warp]);
    for (int i = lane; i < 64 * TILES; i += 32) elements[i] = uint16_t(i / 64 * 1000 + i / 8 % 8 * 10 + i % 8 + 1 + warp);
    __syncwarp();
    uint32_t r[TILES];
    const uint4 *row = &rows[warp][lane % (8 * TILES)];
    if constexpr (TILES == 4 && TRANSPOSED) gpu::ldmatrix_x4_trans(r, row);
    if constexpr (TILES == 4 && !TRANSPOSED) gpu::ldmatrix_x4(r, row);
    if constexpr (TILES == 2 && TRANSPOSED) gpu::ldmatrix_x2_trans(r, row);
    if constexpr (TILES == 2 && !TRANSPOSED) gpu::ldmatrix_x2(r, row);
    for (int i = 0; i < TILES; i++) out[i] = r[i];
  }
};

// ---- mma: small integers have the same sum in any order; other numbers nearly --------------------------------------------------------

struct Values {
  bool whole;
  // A number from 0.5 to 1, of either sign, with any mantissa. It is made of bits, because nvcc may fuse a product and a sum.
  __device__ float at(int i) const {
    const unsigned bits = unsigned(i + 1) * 2654435761u;
    return whole ? float(i * 7 % 17 - 8) : __uint_as_float(0x3f000000 | (bits & 0x807fffff));
  }
};
template <class Element> __device__ Element element(float x) {
  if constexpr (sizeof(Element) == 4) return x;
  else if constexpr (std::is_same_v<Element, __half>) return __float2half_rn(x);
  else return __float2bfloat16_rn(x);
}
template <class Element> __device__ uint32_t pair(float low, float high) {
  const Element both[2] = {element<Element>(low), element<Element>(high)};
  uint32_t bits;
  memcpy(&bits, both, sizeof bits);
  return bits;
}

template <class Element> struct Product {
  static constexpr int WORDS = 4;
  Values values;
  __device__ void operator()(uint32_t *out) const {
    const int lane = threadIdx.x;
    uint32_t a[4], b[2];
    float d[4];
    for (int i = 0; i < 4; i++) a[i] = pair<Element>(values.at(lane * 8 + 2 * i), values.at(lane * 8 + 2 * i + 1));
    for (int i = 0; i < 2; i++) b[i] = pair<Element>(values.at(lane * 5 + 3 * i + 400), values.at(lane * 5 + 3 * i + 401));
    for (int i = 0; i < 4; i++) d[i] = values.at(lane + 64 * i);
    gpu::mma_m16n8k16(d, a, b, Element{});
    for (int i = 0; i < 4; i++) out[i] = __float_as_uint(d[i]);
  }
};
struct ProductTf32 {
  static constexpr int WORDS = 4;
  Values values;
  __device__ void operator()(uint32_t *out) const {
    const int lane = threadIdx.x;
    uint32_t a[4], b[2];
    float d[4];
    for (int i = 0; i < 4; i++) a[i] = gpu::to_tf32(values.at(lane * 4 + i));
    for (int i = 0; i < 2; i++) b[i] = gpu::to_tf32(values.at(lane * 3 + i + 400));
    for (int i = 0; i < 4; i++) d[i] = values.at(lane + 64 * i);
    gpu::mma_m16n8k8(d, a, b);
    for (int i = 0; i < 4; i++) out[i] = __float_as_uint(d[i]);
  }
};
// A NaN stays a NaN. Its bits are free: the emulator has those that the PTX ISA names, a GPU keeps those of the operand.
struct RoundTf32 {
  static constexpr int WORDS = 8;
  static __device__ uint32_t rounded(uint32_t bits) {
    const uint32_t result = gpu::to_tf32(__uint_as_float(bits));
    return (result & 0x7fffffff) > 0x7f800000 ? 0x7fffffff : result;
  }
  __device__ void operator()(uint32_t *out) const {
    const uint32_t bits[WORDS] = {0x3f801000, 0x3f800fff, 0x3f803000, 0xbf801000, 0x7f7ff000, 0x7f800000, 0x7fc00001, 0x00001000};
    for (int i = 0; i < WORDS; i++) out[i] = rounded(bits[i] + (i < 4 ? threadIdx.x * 0x2001 : 0));
  }
};

// ---- cp.async ------------------------------------------------------------------------------------------------------------------------

// Each lane copies WIDTH bytes, of which the given number is read. Then two groups, of which only the first is waited for.
template <int WIDTH> struct Copy {
  static constexpr int WORDS = WIDTH / 4 + 1;
  const unsigned char *from;
  static __device__ void copy(void *to, const void *source, int bytes) {
    if constexpr (WIDTH == 16) gpu::cp_async16(to, source, bytes);
    else if constexpr (WIDTH == 8) gpu::cp_async8(to, source, bytes);
    else gpu::cp_async4(to, source, bytes);
  }
  __device__ void operator()(uint32_t *out) const {
    GPU_SHARED(uint4, slots, [2][THREADS]);
    const int thread = threadIdx.x;
    slots[0][thread] = slots[1][thread] = make_uint4(~0u, ~0u, ~0u, ~0u);
    __syncthreads();
    copy(&slots[0][thread], from + 16 * thread, thread % (WIDTH + 1));
    gpu::cp_async_commit();
    copy(&slots[1][thread], from + 16 * (THREADS - 1 - thread), WIDTH);
    gpu::cp_async_commit();
    gpu::cp_async_wait<1>();
    const uint32_t *words = reinterpret_cast<const uint32_t *>(&slots[0][thread]);
    for (int i = 0; i < WIDTH / 4; i++) out[i] = words[i];
    gpu::cp_async_wait<0>();
    __syncthreads();
    out[WIDTH / 4] = slots[1][(thread + 1) % THREADS].x;
  }
};

// Every third lane copies nothing, from no address, and gets zeros.
struct CopyIf {
  static constexpr int WORDS = 4;
  const unsigned char *from;
  __device__ void operator()(uint32_t *out) const {
    GPU_SHARED(uint4, slots, [THREADS]);
    const int thread = threadIdx.x;
    const bool inside = thread % 3 != 0;
    slots[thread] = make_uint4(~0u, ~0u, ~0u, ~0u);
    gpu::cp_async16_if(inside, &slots[thread], inside ? from + 16 * thread : nullptr);
    gpu::cp_async_commit();
    gpu::cp_async_wait<0>();
    memcpy(out, &slots[thread], sizeof slots[thread]);
  }
};

}  // namespace

void copies() {
  std::vector<unsigned char> bytes(16 * THREADS);
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<unsigned char>(i * 7 + i / 256 + 1);
  unsigned char *from;
  expect(cudaMalloc(reinterpret_cast<void **>(&from), bytes.size()), "cp_async");
  expect(cudaMemcpy(from, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "cp_async");
  exact("cp_async16_if", CopyIf{from});
  exact("cp_async16", Copy<16>{from});
  exact("cp_async8", Copy<8>{from});
  exact("cp_async4", Copy<4>{from});
  expect(cudaFree(from), "cp_async");
}

void tiles() {
  exact("ldmatrix_x4", Load<4, false>{});
  exact("ldmatrix_x4_trans", Load<4, true>{});
  exact("ldmatrix_x2", Load<2, false>{});
  exact("ldmatrix_x2_trans", Load<2, true>{});
  exact("mma_m16n8k16 f16 whole", Product<__half>{{true}});
  exact("mma_m16n8k16 bf16 whole", Product<__nv_bfloat16>{{true}});
  exact("mma_m16n8k8 tf32 whole", ProductTf32{{true}});
  near("mma_m16n8k16 f16", 1e-5, Product<__half>{{false}});
  near("mma_m16n8k16 bf16", 1e-5, Product<__nv_bfloat16>{{false}});
  near("mma_m16n8k8 tf32", 1e-5, ProductTf32{{false}});
  exact("to_tf32", RoundTf32{});
}

}  // namespace conformance
