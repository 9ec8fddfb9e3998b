// Tiles of 16-bit elements in shared memory and their products on tensor cores, computed by one warp. N is __half or __nv_bfloat16. A
// warp's accumulators c[m][n] are blocks of 16 rows x 8 columns in the layout that gpu.h describes.
#pragma once
#include "../kernels/convert.h"
#include "gpu.h"

namespace castor::cuda {

// The offset of element 8 chunk of a row. A row has D elements in chunks of 16 bytes, which are permuted depending on the row: the eight
// rows that ldmatrix reads at once, or that a warp writes accumulators to, are then in different banks.
template <int D> __device__ __forceinline__ int tile_offset(int row, int chunk) {
  static_assert(D == 32 || D == 64 || D == 128, "see shifted()");
  return row * D + (chunk ^ (D == 32 ? row >> 1 & 3 : row & 7)) * 8;
}
// The offset `chunks` further along the row. `chunks` must not have a bit in common with the chunk of `offset`.
template <int D> __device__ __forceinline__ int shifted(int offset, int chunks) { return (offset ^ chunks % 8 * 8) + chunks / 8 * 64; }

// Starts the copies of a tile of ROWS rows, which are `stride` elements apart. Elements beyond `rows` and `columns` are zero.
template <int ROWS, int D, int THREADS, class N>
__device__ __forceinline__ void load_tile(N *tile, const N *from, int64_t stride, int rows, int columns) {
  constexpr int CHUNKS = D / 8, STEP = THREADS / CHUNKS;  // rows that the block copies at once
  static_assert(ROWS % STEP == 0 && STEP % 8 == 0, "every thread copies as many chunks, all at one place of their rows");
  const int chunk = int(threadIdx.x) % CHUNKS, row = int(threadIdx.x) / CHUNKS, offset = tile_offset<D>(row, chunk);
  const N *next = from + row * stride + chunk * 8;
  GPU_UNROLL for (int i = 0; i < ROWS; i += STEP, next += STEP * stride)
    gpu::cp_async16_if(row + i < rows && chunk * 8 < columns, tile + offset + i * D, next);
}

__device__ __forceinline__ uint32_t pack(float low, float high, __half) { return bit_cast<uint32_t>(__floats2half2_rn(low, high)); }
__device__ __forceinline__ uint32_t pack(float low, float high, __nv_bfloat16) {
  return bit_cast<uint32_t>(__floats2bfloat162_rn(low, high));
}

// Loads the elements (row .. row + 16, 16 k .. 16 k + 16) of a tile as an A operand. row is a multiple of 8, as everywhere below.
template <int D, class N> __device__ __forceinline__ void load_a(uint32_t (&a)[4], const N *tile, int row, int k) {
  const int lane = threadIdx.x % 32;
  gpu::ldmatrix_x4(a, tile + row * D + shifted<D>(tile_offset<D>(lane % 16, lane / 16), 2 * k));
}

// c += A b, for the two 16 x 8 blocks of B that one ldmatrix loads.
template <int M, int COLUMNS, class N>
__device__ __forceinline__ void multiply_pair(float (&c)[M][COLUMNS][4], int n, const uint32_t (&a)[M][4], const uint32_t (&b)[4]) {
  const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
  GPU_UNROLL for (int m = 0; m < M; m++) {
    gpu::mma_m16n8k16(c[m][n], a[m], first, N{});
    gpu::mma_m16n8k16(c[m][n + 1], a[m], second, N{});
  }
}

// c += A B', where A is the rows from `row` on of tile a and B the first 8 COLUMNS rows of tile b, over their D columns.
template <int D, int M, int COLUMNS, class N>
__device__ __forceinline__ void multiply_transposed(float (&c)[M][COLUMNS][4], const N *a, int row, const N *b) {
  const int lane = threadIdx.x % 32, offset = tile_offset<D>(lane / 16 * 8 + lane % 8, lane / 8 % 2);
  GPU_UNROLL for (int k = 0; k < D / 16; k++) {
    uint32_t left[M][4];
    GPU_UNROLL for (int m = 0; m < M; m++) load_a<D>(left[m], a, row + m * 16, k);
    GPU_UNROLL for (int n = 0; n < COLUMNS; n += 2) {
      uint32_t right[4];
      gpu::ldmatrix_x4(right, b + n * 8 * D + shifted<D>(offset, 2 * k));
      multiply_pair<M, COLUMNS, N>(c, n, left, right);
    }
  }
}

// Converts two neighbouring blocks of accumulators to an A operand, rounded to N. Both have the same layout in registers.
template <class N> __device__ __forceinline__ void as_operand(uint32_t (&a)[4], const float (&left)[4], const float (&right)[4]) {
  a[0] = pack(left[0], left[1], N{});
  a[1] = pack(left[2], left[3], N{});
  a[2] = pack(right[0], right[1], N{});
  a[3] = pack(right[2], right[3], N{});
}

// c += P B, where B is the rows 16 k .. 16 k + 16 of tile b.
template <int D, class N, int M>
__device__ __forceinline__ void multiply_step(float (&c)[M][D / 8][4], const uint32_t (&a)[M][4], const N *b, int k) {
  const int lane = threadIdx.x % 32, offset = tile_offset<D>(lane % 16, lane / 16);
  GPU_UNROLL for (int n = 0; n < D / 8; n += 2) {
    uint32_t right[4];
    gpu::ldmatrix_x4_trans(right, b + k * 16 * D + shifted<D>(offset, n));
    multiply_pair<M, D / 8, N>(c, n, a, right);
  }
}

__device__ __forceinline__ void scale_block(float (&c)[4], float factor) { GPU_UNROLL for (int i = 0; i < 4; i++) c[i] *= factor; }
template <int M, int COLUMNS> __device__ __forceinline__ void scale_rows(float (&c)[M][COLUMNS][4], float factor) {
  GPU_UNROLL for (int m = 0; m < M; m++)
    GPU_UNROLL for (int n = 0; n < COLUMNS; n++)
      GPU_UNROLL for (int i = 0; i < 4; i++) c[m][n][i] *= factor;
}

// Writes a warp's accumulators to rows of a tensor, in chunks of 16 bytes, through rows of a tile that no other warp uses.
template <int D, int M, class N>
__device__ __forceinline__ void store_rows(const float (&c)[M][D / 8][4], N *tile, N *to, int64_t stride, int rows, int columns) {
  const int lane = threadIdx.x % 32;
  GPU_UNROLL for (int m = 0; m < M; m++) {
    GPU_UNROLL for (int n = 0; n < D / 8; n++) {
      GPU_UNROLL for (int half = 0; half < 2; half++) {
        const int offset = tile_offset<D>(m * 16 + half * 8 + lane / 4, n) + lane % 4 * 2;
        *reinterpret_cast<uint32_t *>(tile + offset) = pack(c[m][n][2 * half], c[m][n][2 * half + 1], N{});
      }
    }
  }
  __syncwarp();
  GPU_UNROLL for (int i = 0; i < M * 16 * D / 8 / 32; i++) {
    const int place = i * 32 + lane, row = place / (D / 8), chunk = place % (D / 8);
    if (row < rows && chunk * 8 < columns)
      *reinterpret_cast<uint4 *>(to + row * stride + chunk * 8) = *reinterpret_cast<const uint4 *>(tile + tile_offset<D>(row, chunk));
  }
}

// The same in float32: the four lanes that share a row write 32 bytes of it.
template <int D, int M>
__device__ __forceinline__ void store_wide_rows(const float (&c)[M][D / 8][4], float *to, int64_t stride, int rows, int columns) {
  const int lane = threadIdx.x % 32;
  GPU_UNROLL for (int m = 0; m < M; m++) {
    GPU_UNROLL for (int half = 0; half < 2; half++) {
      const int row = m * 16 + half * 8 + lane / 4;
      GPU_UNROLL for (int n = 0; n < D / 8; n++) {
        if (row < rows && n * 8 < columns)
          *reinterpret_cast<float2 *>(to + row * stride + n * 8 + lane % 4 * 2) = make_float2(c[m][n][2 * half], c[m][n][2 * half + 1]);
      }
    }
  }
}

}  // namespace castor::cuda
