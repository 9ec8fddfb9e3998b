// The product on tensor cores: float16 and bfloat16 (mma m16n8k16) or floats rounded to tf32 (m16n8k8), summed in float32.
// Tiles of the factors travel to shared memory some stages ahead of the multiplication, fragments to registers one step ahead.
#pragma once
#include "gemm_epilogue.h"
#include "gemm_load.h"

namespace castor::cuda::tensor {

// How the threads of a block share a tile of M x N: warps of WARP_M x WARP_N, DEPTH bytes of k at a time, STAGES of them in flight.
// RESIDENT: blocks of a multiprocessor. SPEED: in per cent of the fastest tiling.
template <class T_, int M_, int N_, int WARP_M_, int WARP_N_, int DEPTH, int STAGES_, int RESIDENT_, int SPEED_> struct Tiling {
  using T = T_;
  static constexpr int M = M_, N = N_, WARP_M = WARP_M_, WARP_N = WARP_N_, K = DEPTH / sizeof(T);
  static constexpr int STAGES = STAGES_, RESIDENT = RESIDENT_, SPEED = SPEED_;
  static constexpr int WARPS_N = N / WARP_N, THREADS = M / WARP_M * WARPS_N * 32, STEPS = DEPTH / STEP_BYTES;
  static constexpr int STAGE = (M + N) * DEPTH, TABLES = STAGE * STAGES;  // bytes
  static_assert(STEPS % 2 == 0, "fragments alternate between two sets of registers");
};

// The sums of a warp's part of the tile, and the fragments they come from.
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
          const uint32_t column[2] = {b[set][j][h], b[set][j][h + 2]};
          mma<typename S::T>(sum[i][j * 2 + h], a[set][i], column);
        }
  }

  __device__ __forceinline__ void spread(float *tile) const {
    const int lane = threadIdx.x % 32;
    GPU_UNROLL for (int i = 0; i < ROWS; i++)
      GPU_UNROLL for (int j = 0; j < COLUMNS * 2; j++)
        GPU_UNROLL for (int h = 0; h < 2; h++) {
          float2 *to = reinterpret_cast<float2 *>(tile + place_of_sum<S::WARP_N>(i * 16 + h * 8 + lane / 4, j * 8 + lane % 4 * 2));
          *to = make_float2(sum[i][j][h * 2], sum[i][j][h * 2 + 1]);
        }
  }
};

template <class S, class LoadA, class LoadB>
__global__ void __launch_bounds__(S::THREADS, S::RESIDENT) gemm_tensor_kernel(const __grid_constant__ Product p, const __grid_constant__ Cut cut) {
  using ReadA = Reader<typename LoadA::Panel, S::WARP_M>;
  using ReadB = Reader<typename LoadB::Panel, S::WARP_N>;
  GPU_DYN_SHARED(char, shared);
  Spot *tables = reinterpret_cast<Spot *>(shared + S::TABLES);
  const Place place = place_of(p, cut, S::M, S::N);
  const Offsets offset = offsets_of(p, place.batch);
  const int warp = threadIdx.x / 32, row = warp / S::WARPS_N * S::WARP_M, column = warp % S::WARPS_N * S::WARP_N;
  LoadA load_a(p.a, offset.a, place.row, p.m, place.k_begin, place.k_end, tables);
  LoadB load_b(p.b, offset.b, place.column, p.n, place.k_begin, place.k_end, tables + LoadA::TABLE);
  const ReadA read_a(row);
  const ReadB read_b(column);
  Warp<S> part;

  for (int s = 0; s < S::STAGES - 1; s++) {
    if (LoadA::TABLE + LoadB::TABLE > 0) __syncthreads();
    char *stage = shared + s * S::STAGE;
    load_a.fetch(stage), load_b.fetch(stage + LoadA::Panel::BYTES);
    load_a.land(stage), load_b.land(stage + LoadA::Panel::BYTES);
    gpu::cp_async_commit();
  }
  gpu::cp_async_wait<S::STAGES - 2>();
  __syncthreads();
  part.load(0, 0, read_a, read_b, shared);

  // Beyond the last tile come zeros that nobody multiplies: fetching them costs less than asking each time.
  int reading = 0, writing = S::STAGES - 1;
  for (int32_t k = place.k_begin; k < place.k_end; k += S::K) {
    char *stage = shared + writing * S::STAGE;
    GPU_UNROLL for (int step = 0; step < S::STEPS; step++) {
      if (step == S::STEPS - 1) {
        load_a.land(stage), load_b.land(stage + LoadA::Panel::BYTES);
        gpu::cp_async_wait<S::STAGES - 2>();
        __syncthreads();
        reading = reading + 1 == S::STAGES ? 0 : reading + 1;
        writing = writing + 1 == S::STAGES ? 0 : writing + 1;
      }
      part.load((step + 1) % 2, (step + 1) % S::STEPS, read_a, read_b, shared + reading * S::STAGE);
      if (step == 0) {
        load_a.fetch(stage), load_b.fetch(stage + LoadA::Panel::BYTES);
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
  finish<float, S::WARP_M, S::WARP_N, 32>(p, cut, place_of(p, cut, S::M, S::N), row, column, tile, threadIdx.x % 32);
}

}  // namespace castor::cuda::tensor
