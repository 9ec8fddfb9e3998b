// Atomic functions on shared memory, with results that do not depend on the order of the threads.
#include "answers.h"

namespace conformance {
namespace {

struct Words {
  static constexpr int WORDS = 12;
  __device__ void operator()(uint32_t *out) const {
    GPU_SHARED(uint32_t, word, [WORDS]);
    const unsigned x = threadIdx.x * 2654435761u, bit = 1u << threadIdx.x % 32;
    if (threadIdx.x < WORDS) word[threadIdx.x] = threadIdx.x == 6 ? ~0u : 0;
    __syncthreads();
    atomicAdd(&word[0], x);
    atomicSub(reinterpret_cast<int *>(&word[1]), int(x));
    atomicMax(&word[2], x);
    atomicMax(reinterpret_cast<int *>(&word[3]), int(x));
    atomicMin(reinterpret_cast<int *>(&word[4]), int(x));
    atomicOr(&word[5], bit & 0xf0f0f0f0);
    atomicAnd(&word[6], ~(bit & 0x0f0f0f0f));
    atomicXor(&word[7], bit * threadIdx.x);
    atomicInc(&word[8], 9);
    atomicDec(&word[9], 9);
    atomicAdd(reinterpret_cast<float *>(&word[10]), float(threadIdx.x));
    // One thread succeeds. Every thread checks the value that was there before.
    out[0] = gpu::atomic_cas(&word[11], 0u, 5u) <= 5;
    __syncthreads();
    for (int i = 1; i < WORDS; i++) out[i] = word[i];
    out[0] += word[0];
  }
};

struct WideWords {
  static constexpr int WORDS = 12;
  __device__ void operator()(uint32_t *out) const {
    GPU_SHARED(uint64_t, word, [WORDS / 2]);
    if (threadIdx.x < WORDS / 2) word[threadIdx.x] = threadIdx.x == 3 ? ~uint64_t(0) : 0;
    __syncthreads();
    const uint64_t x = threadIdx.x * 0x9e3779b97f4a7c15u;
    gpu::atomic_add(&word[0], x);
    gpu::atomic_add(reinterpret_cast<int64_t *>(&word[1]), int64_t(x));
    gpu::atomic_max(&word[2], x);
    gpu::atomic_min(&word[3], x);
    gpu::atomic_max(reinterpret_cast<int64_t *>(&word[4]), int64_t(x));
    gpu::atomic_add(reinterpret_cast<double *>(&word[5]), double(threadIdx.x));
    __syncthreads();
    for (int i = 0; i < WORDS; i++) out[i] = uint32_t(word[i / 2] >> i % 2 * 32);
  }
};

// Each thread gets a different number.
struct Tickets {
  static constexpr int WORDS = 1;
  __device__ void operator()(uint32_t *out) const {
    GPU_SHARED(unsigned, next, [1]);
    GPU_SHARED(unsigned, taken, [THREADS]);
    taken[threadIdx.x] = 0;
    if (threadIdx.x == 0) next[0] = 0;
    __syncthreads();
    atomicAdd(&taken[atomicAdd(&next[0], 1u)], 1u);
    __syncthreads();
    out[0] = taken[threadIdx.x];
  }
};

}  // namespace

void atomics() {
  exact("atomics of 32 bits", Words{});
  exact("atomics of 64 bits", WideWords{});
  exact("tickets", Tickets{});
}

}  // namespace conformance
