// Shuffles, votes and other operations that the lanes of a warp, and the threads of a block, perform together.
#include "answers.h"

namespace conformance {
namespace {

constexpr unsigned WARP = ~0u;

// ---- shuffles, in groups of 32, 16, 8 and 2 lanes ------------------------------------------------------------------------------------

template <class T> struct Shuffles {
  static constexpr int WORDS = 16;
  template <int WIDTH> static __device__ void of_width(uint32_t *out) {
    const T x = T(int(threadIdx.x) * 3 + 1);
    out[0] = uint32_t(int(__shfl_sync(WARP, x, int(threadIdx.x) * 5 + 3, WIDTH)));
    out[1] = uint32_t(int(__shfl_up_sync(WARP, x, 3, WIDTH)));
    out[2] = uint32_t(int(__shfl_down_sync(WARP, x, 3, WIDTH)));
    out[3] = uint32_t(int(__shfl_xor_sync(WARP, x, 5, WIDTH)));
  }
  __device__ void operator()(uint32_t *out) const {
    of_width<32>(out);
    of_width<16>(out + 4);
    of_width<8>(out + 8);
    of_width<2>(out + 12);
  }
};

// Half of the lanes at a time.
struct Halves {
  static constexpr int WORDS = 2;
  __device__ void operator()(uint32_t *out) const {
    const int lane = threadIdx.x % 32, x = int(threadIdx.x) + 100;
    if (lane < 16) out[0] = uint32_t(__shfl_xor_sync(0x0000ffffu, x, 1)), out[1] = __ballot_sync(0x0000ffffu, lane % 3 == 0);
    else out[0] = uint32_t(__shfl_xor_sync(0xffff0000u, x, 2)), out[1] = __ballot_sync(0xffff0000u, lane % 5 == 0);
  }
};

// ---- votes ---------------------------------------------------------------------------------------------------------------------------

struct Votes {
  static constexpr int WORDS = 6;
  __device__ void operator()(uint32_t *out) const {
    const int lane = threadIdx.x % 32;
    out[0] = __ballot_sync(WARP, lane * lane % 7 < 3);
    out[1] = __any_sync(WARP, threadIdx.x == 40) != 0;
    out[2] = __all_sync(WARP, threadIdx.x < 50) != 0;
    out[3] = __match_any_sync(WARP, lane % 5);
    out[4] = __match_any_sync(WARP, int64_t(lane % 3) << 40);
    out[5] = __match_any_sync(WARP, float(lane % 2));
  }
};
struct Reductions {
  static constexpr int WORDS = 9;
  __device__ void operator()(uint32_t *out) const {
    const unsigned u = threadIdx.x * 2654435761u;
    const int i = int(u);
    out[0] = __reduce_add_sync(WARP, u);
    out[1] = uint32_t(__reduce_add_sync(WARP, i));
    out[2] = __reduce_min_sync(WARP, u);
    out[3] = uint32_t(__reduce_min_sync(WARP, i));
    out[4] = __reduce_max_sync(WARP, u);
    out[5] = uint32_t(__reduce_max_sync(WARP, i));
    out[6] = __reduce_and_sync(WARP, u | 0x10);
    out[7] = __reduce_or_sync(WARP, u & 0xff00);
    out[8] = __reduce_xor_sync(WARP, u);
  }
};

// Barriers of the block, also after some of its threads have ended.
struct Barriers {
  static constexpr int WORDS = 6;
  __device__ void operator()(uint32_t *out) const {
    out[0] = __syncthreads_or(threadIdx.x == 63) != 0;
    out[1] = __syncthreads_and(threadIdx.x < 63) != 0;
    out[2] = uint32_t(__syncthreads_count(threadIdx.x % 3 == 0));
    out[3] = __syncthreads_or(0) != 0;
    if (threadIdx.x >= 32) return;
    out[4] = __syncthreads_and(1) != 0;
    out[5] = uint32_t(__syncthreads_count(1));
  }
};

struct Dynamic {
  static constexpr int WORDS = 1;
  __device__ void operator()(uint32_t *out) const {
    GPU_SHARED(uint8_t, bytes, [3]);
    GPU_SHARED(double, doubles, [2]);
    if (threadIdx.x == 0) bytes[0] = bytes[2] = 7, doubles[1] = 0.5;
    __syncthreads();
    out[0] = uint32_t(bytes[2] + int(doubles[1] * 10) + int(reinterpret_cast<uintptr_t>(doubles) % 8) + warpSize);
  }
};

}  // namespace

void warps() {
  exact("shuffles of int", Shuffles<int>{});
  exact("shuffles of unsigned", Shuffles<unsigned>{});
  exact("shuffles of float", Shuffles<float>{});
  exact("shuffles of double", Shuffles<double>{});
  exact("shuffles of int64", Shuffles<int64_t>{});
  exact("shuffles of half", Shuffles<__half>{});
  exact("halves of a warp", Halves{});
  exact("votes", Votes{});
  exact("reductions", Reductions{});
  exact("barriers", Barriers{});
  exact("shared arrays", Dynamic{});
}

}  // namespace conformance
