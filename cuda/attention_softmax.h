// The running softmax of the scores of a warp (Milakov, Gimelshein: Online normalizer calculation for softmax; 2018).
#pragma once
#include "attention_tile.h"

namespace castor::cuda::flash {

// The state of the rows g and g + 8 of each 16 x 8 block of accumulators: the base, which is a score that no score so far is much above,
// and this lane's part of the sum of the exponentials of the scores minus this base.
template <int M, bool CHANGED> struct Softmax {
  float top[M][2], sum[M][2];

  __device__ __forceinline__ Softmax() {
    GPU_UNROLL for (int i = 0; i < M * 2; i++) {
      top[i / 2][i % 2] = HIDDEN;
      sum[i / 2][i % 2] = 0;
    }
  }

  __device__ __forceinline__ float base(int m, int half) const { return top[m][half] == HIDDEN ? 0 : top[m][half]; }

  // Raises the bases of the warp's rows to the largest scores so far, and rescales the earlier sums, if a new score is so far above the
  // base of its row that its exponential would be more than 2^FAR. Otherwise nothing has to be rescaled: exponentials up to 2^FAR are as
  // exact in 16 bits as those up to 1, and the base cancels in the end.
  template <int KEYS, int COLUMNS>
  __device__ __forceinline__ void raise(const float (&s)[M][KEYS][4], float (&sums)[M][COLUMNS][4], float unit) {
    constexpr float FAR = 8;
    float highest[M][2];
    bool far = false;
    GPU_UNROLL for (int m = 0; m < M; m++) {
      GPU_UNROLL for (int half = 0; half < 2; half++) {
        float x = top[m][half];
        GPU_UNROLL for (int n = 0; n < KEYS; n++) x = fmaxf(x, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
        x = fmaxf(x, __shfl_xor_sync(WARP, x, 1));
        x = fmaxf(x, __shfl_xor_sync(WARP, x, 2));
        far |= (x - top[m][half]) * unit > FAR;
        highest[m][half] = x;
      }
    }
    if (!__any_sync(WARP, far)) return;
    GPU_UNROLL for (int m = 0; m < M; m++) {
      GPU_UNROLL for (int half = 0; half < 2; half++) {
        const float x = highest[m][half], shrink = gpu::exp2_approx((top[m][half] - (x == HIDDEN ? 0 : x)) * unit);
        top[m][half] = x;
        sum[m][half] *= shrink;
        GPU_UNROLL for (int n = 0; n < COLUMNS; n++) {
          sums[m][n][2 * half] *= shrink;
          sums[m][n][2 * half + 1] *= shrink;
        }
      }
    }
  }

  // Turns the scores of a block into exponentials.
  __device__ __forceinline__ void exponentials(float (&s)[4], int m, float unit) {
    GPU_UNROLL for (int i = 0; i < 4; i++) {
      s[i] = exponential<CHANGED>(s[i], base_of<CHANGED>(base(m, i / 2), unit), unit);
      sum[m][i / 2] += s[i];
    }
  }
};

}  // namespace castor::cuda::flash
