// A panel: a tile of an operand in shared memory, in the layout from which tensor cores are fed.
#pragma once
#include "gemm.h"

namespace castor::cuda::tensor {

template <class T> constexpr int CHUNK = 16 / int(sizeof(T));  // elements
constexpr int STEP_BYTES = 32;                                 // bytes of k in one mma: 16 elements of 16 bits or 8 floats

// X by K elements, in rows along k or along x. The chunks of 16 bytes of a row are permuted, so that chunks that ldmatrix or a warp reads
// at the same time are in different banks. The permutation repeats after PERIOD rows.
template <class T_, int X, int K_, bool ALONG_K_> struct Panel {
  using T = T_;
  static constexpr bool ALONG_K = ALONG_K_;
  static constexpr int K = K_, ROWS = ALONG_K ? X : K, PER_ROW = (ALONG_K ? K : X) / CHUNK<T>;  // chunks
  static constexpr int ROW_BYTES = PER_ROW * 16, BYTES = ROWS * ROW_BYTES;
  static constexpr int PERIOD = ALONG_K || sizeof(T) == 2 ? 8 : 4;

  // The offset in bytes of the chunk that contains (x, k).
  static __device__ __forceinline__ int chunk_offset(int x, int k) {
    const int row = ALONG_K ? x : k, chunk = (ALONG_K ? k : x) / CHUNK<T>;
    return row * ROW_BYTES + (chunk ^ permutation(row)) * 16;
  }

 private:
  static __device__ __forceinline__ int permutation(int row) {
    if (!ALONG_K) return sizeof(T) == 2 ? row % 8 : row % 4 * 2;  // floats are read one by one: see Reader
    return PER_ROW >= 8 ? row % 8 : row / (8 / PER_ROW) % PER_ROW;
  }
};

// Rounds a float to 10 bits of mantissa, to nearest, ties away from zero, in bits that the tensor cores then ignore: half a unit of the
// last place that they read is added. Infinity and NaN stay what they are. cvt.rna.tf32 would take three instructions and a predicate, for
// which the next ones of the loop would have to wait.
__device__ __forceinline__ uint32_t rounded_to_tf32(uint32_t bits) {
  const float power = __uint_as_float(bits & 0xff800000u);  // with the sign and the exponent of the float, and mantissa 1
  return __float_as_uint(fmaf(power, 0x1p-11f, __uint_as_float(bits)));
}

// Reads fragments of 16 x values by one step of k, from the part of a warp that begins at x, as four parts of 8 x values by half a step.
// For a, r[0] and r[1] are the first half of the step, r[2] and r[3] the second. For b, r[0] and r[1] are the first 8 columns, r[2] and
// r[3] the next 8: the registers of an mma's b have to be neighbours, and those of other pairs would be moved before each mma.
template <class P, int WARP_X, bool IS_B> class Reader {
 public:
  using Panel = P;
  using T = typename P::T;

  explicit __device__ Reader(int x) {
    // Lanes 8 i to 8 i + 7 give the addresses of part i.
    const int lane = threadIdx.x % 32, row = lane % 8, x_half = x_half_of(lane / 8), k_half = k_half_of(lane / 8);
    if constexpr (P::ALONG_K) chunk_offset_ = P::chunk_offset(x + x_half * 8 + row, k_half * CHUNK<T>);
    else if constexpr (sizeof(T) == 2) chunk_offset_ = P::chunk_offset(x + x_half * 8, k_half * 8 + row);
    else chunk_offset_ = P::chunk_offset(x + lane / 4, lane % 4) + lane / 4 % 4 * 4;
  }

  // Loads a fragment. chunk_offset_ is permuted by exclusive or, so the offset of the step is applied by exclusive or as well. This is an
  // addition, because the bits of the step are 0 in the offset before the permutation.
  __device__ __forceinline__ void load(uint32_t (&r)[4], const char *panel, int block, int step) const {
    if constexpr (P::ALONG_K) gpu::ldmatrix_x4(r, panel + (chunk_offset_ ^ step * STEP_BYTES) + block * 16 * P::ROW_BYTES);
    else if constexpr (sizeof(T) == 2) gpu::ldmatrix_x4_trans(r, panel + (chunk_offset_ ^ block * 32) + step * 16 * P::ROW_BYTES);
    else
      GPU_UNROLL for (int i = 0; i < 4; i++) r[i] = *reinterpret_cast<const uint32_t *>(
          panel + (chunk_offset_ ^ (block * 64 + x_half_of(i) * 32)) + (step * 8 + k_half_of(i) * 4) * P::ROW_BYTES);
    if constexpr (sizeof(T) == 4) {
      GPU_UNROLL for (int i = 0; i < 4; i++) r[i] = rounded_to_tf32(r[i]);
    }
  }

 private:
  static_assert(WARP_X % 16 == 0 && (WARP_X & (WARP_X - 1)) == 0, "blocks are counted by exclusive or");
  int chunk_offset_;

  static constexpr __device__ int x_half_of(int part) { return IS_B ? part / 2 : part % 2; }
  static constexpr __device__ int k_half_of(int part) { return IS_B ? part % 2 : part / 2; }
};

template <class T> __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, Half>) gpu::mma_m16n8k16(d, a, b, __half{});
  else if constexpr (std::is_same_v<T, BFloat>) gpu::mma_m16n8k16(d, a, b, __nv_bfloat16{});
  else gpu::mma_m16n8k8(d, a, b);
}

}  // namespace castor::cuda::tensor
