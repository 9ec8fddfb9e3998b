// Products on tensor cores: float16 and bfloat16 (mma m16n8k16), or floats rounded to tf32 (m16n8k8), summed in float32. The operands pass
// through a pipeline: tiles are copied to shared memory STAGES - 1 steps before they are multiplied, and fragments are loaded into
// registers one step before.
#pragma once
#include "gemm_epilogue.h"
#include "gemm_load.h"

namespace castor::cuda::tensor {

// The division of a tile of M x N among the threads of a block: in warps of WARP_M x WARP_N, DEPTH bytes of k at a time, with STAGES such
// steps in flight. RESIDENT is the number of blocks on a multiprocessor, SPEED the speed in per cent of the fastest tiling.
template <class T_, int M_, int N_, int WARP_M_, int WARP_N_, int DEPTH, int STAGES_, int RESIDENT_, int SPEED_> struct Tiling {
  using T = T_;
  static constexpr int M = M_, N = N_, WARP_M = WARP_M_, WARP_N = WARP_N_, K = DEPTH / sizeof(T);
  static constexpr int STAGES = STAGES_, RESIDENT = RESIDENT_, SPEED = SPEED_;
  static constexpr int WARPS_N = N / WARP_N, THREADS = M / WARP_M * WARPS_N * 32, STEPS = DEPTH / STEP_BYTES;
  static constexpr int STAGE = (M + N) * DEPTH, TABLES = STAGE * STAGES;  // bytes
  static_assert(STEPS % 2 == 0, "fragments alternate between two sets of registers");
};

// The sums of a warp's part of the tile, and the fragments that they are computed from.
template <class S> struct Warp {
  static constexpr int ROWS = S::WARP_M / 16, COLUMNS = S::WARP_N / 16;  // blocks of 16
  float sum[ROWS][COLUMNS * 2][4];
  uint32_t a[2][ROWS][4], b[2][COLUMNS][4];

  __device__ __forceinline__ Warp() {
    GPU_UNROLL for (int i = 0; i < ROWS; i++)
      GPU_UNROLL for (int j = 0; j < COLUMNS * 2; j++)
        GPU_UNROLL for (int e = 0; e < 4; e++) sum[i][j][e] = 0;
  }

  template <class ReadA, class ReadB>
  __device__ __forceinline__ void load(int set, int step, const ReadA &read_a, const ReadB &read_b, const char *stage) {
    GPU_UNROLL for (int i = 0; i < ROWS; i++) read_a.load(a[set][i], stage, i, step);
    GPU_UNROLL for (int j = 0; j < COLUMNS; j++) read_b.load(b[set][j], stage + ReadA::Panel::BYTES, j, step);
  }

  __device__ __forceinline__ void multiply(int set) {
    GPU_UNROLL for (int i = 0; i < ROWS; i++)
      GPU_UNROLL for (int j = 0; j < COLUMNS; j++)
        GPU_UNROLL for (int h = 0; h < 2; h++) {
          const uint32_t column[2] = {b[set][j][2 * h], b[set][j][2 * h + 1]};
          mma<typename S::T>(sum[i][j * 2 + h], a[set][i], column);
        }
  }

  __device__ __forceinline__ void spread(float *tile) const {
    const int lane = threadIdx.x % 32;
    GPU_UNROLL for (int i = 0; i < ROWS; i++)
      GPU_UNROLL for (int j = 0; j < COLUMNS * 2; j++)
        GPU_UNROLL for (int h = 0; h < 2; h++) {
          float2 *to = reinterpret_cast<float2 *>(tile + sum_offset<S::WARP_N>(i * 16 + h * 8 + lane / 4, j * 8 + lane % 4 * 2));
          *to = make_float2(sum[i][j][h * 2], sum[i][j][h * 2 + 1]);
        }
  }
};

template <class S, class LoadA, class LoadB> __global__ void __launch_bounds__(S::THREADS, S::RESIDENT)
    gemm_tensor_kernel(const __grid_constant__ GemmProblem p, const __grid_constant__ TileSchedule schedule) {
  using ReadA = Reader<typename LoadA::Panel, S::WARP_M, false>;
  using ReadB = Reader<typename LoadB::Panel, S::WARP_N, true>;
  GPU_DYN_SHARED(char, shared);
  Position *tables = reinterpret_cast<Position *>(shared + S::TABLES);
  const TileCoord coord = tile_coord(p, schedule, S::M, S::N);
  const Offsets offset = offsets_of(p, coord.batch);
  const int warp = threadIdx.x / 32, row = warp / S::WARPS_N * S::WARP_M, column = warp % S::WARPS_N * S::WARP_N;
  LoadA load_a(p.a, offset.a, coord.row, p.m, coord.k_begin, coord.k_end, tables);
  LoadB load_b(p.b, offset.b, coord.column, p.n, coord.k_begin, coord.k_end, tables + LoadA::TABLE);
  const ReadA read_a(row);
  const ReadB read_b(column);
  Warp<S> part;

  for (int s = 0; s < S::STAGES - 1; s++) {
    if (LoadA::TABLE + LoadB::TABLE > 0) __syncthreads();
    char *stage = shared + s * S::STAGE;
    load_a.start_load(stage), load_b.start_load(stage + LoadA::Panel::BYTES);
    if (s < S::STAGES - 2) load_a.finish_load(stage), load_b.finish_load(stage + LoadA::Panel::BYTES);
    gpu::cp_async_commit();
  }
  gpu::cp_async_wait<S::STAGES - 2>();
  __syncthreads();
  part.load(0, 0, read_a, read_b, shared);

  // Beyond the last tile zeros are loaded, which are never multiplied: that costs less than a test in every step. A load is finished one
  // tile after it was started, so that elements on their way through registers arrive while a whole tile is multiplied.
  int reading = 0, writing = S::STAGES - 1;
  for (int32_t k = coord.k_begin; k < coord.k_end; k += S::K) {
    char *stage = shared + writing * S::STAGE;
    GPU_UNROLL for (int step = 0; step < S::STEPS; step++) {
      if (step == S::STEPS - 1) {
        gpu::cp_async_wait<S::STAGES - 2>();
        __syncthreads();
        reading = reading + 1 == S::STAGES ? 0 : reading + 1;
        writing = writing + 1 == S::STAGES ? 0 : writing + 1;
      }
      part.load((step + 1) % 2, (step + 1) % S::STEPS, read_a, read_b, shared + reading * S::STAGE);
      if (step == 0) {
        char *before = shared + (writing == 0 ? S::STAGES - 1 : writing - 1) * S::STAGE;
        load_a.finish_load(before), load_b.finish_load(before + LoadA::Panel::BYTES);
        load_a.start_load(stage), load_b.start_load(stage + LoadA::Panel::BYTES);
        gpu::cp_async_commit();
      }
      part.multiply(step % 2);
    }
  }

  gpu::cp_async_wait<0>();
  __syncthreads();
  float *tile = reinterpret_cast<float *>(shared) + warp * (S::WARP_M * S::WARP_N);
  part.spread(tile);
  __syncwarp();
  store_tile<float, S::WARP_M, S::WARP_N, 32>(p, schedule, tile_coord(p, schedule, S::M, S::N), row, column, tile, threadIdx.x % 32);
}

}  // namespace castor::cuda::tensor
