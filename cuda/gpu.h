// The device language of the kernel files, which include this header and Castor's own ones only. Under nvcc it is CUDA, with a wrapper for
// each PTX instruction that has no name in CUDA C++. Under g++ the same names run on the emulator in emulator/.
//
// The layouts of the fragments are those of the PTX ISA, "Matrix fragments for mma.m16n8k16" and ".m16n8k8" (tf32). With
// g = lane / 4 and t = lane % 4, a register holding the pair of columns (or rows) c, c + 1 with c in the lower half:
//   A (16 x 16): a[0] = (g, 2t), a[1] = (g + 8, 2t), a[2] = (g, 2t + 8), a[3] = (g + 8, 2t + 8)       four ldmatrix tiles in that order
//   B (16 x 8):  b[0] = rows 2t, 2t + 1 of column g, b[1] = rows 2t + 8, 2t + 9
//   D (16 x 8):  d[0], d[1] = (g, 2t), (g, 2t + 1); d[2], d[3] = the same of row g + 8
//   A of tf32 (16 x 8): a[0] = (g, t), a[1] = (g + 8, t), a[2] = (g, t + 4), a[3] = (g + 8, t + 4)
//   B of tf32 (8 x 8):  b[0] = (t, g), b[1] = (t + 4, g)
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)

#define GPU_UNROLL _Pragma("unroll")
#define GPU_NO_UNROLL _Pragma("unroll 1")
#define GPU_SHARED(T, name, dims) __shared__ T name dims
// The dynamic shared memory of the launch, aligned to 128 bytes.
#define GPU_DYN_SHARED(T, name) \
  extern __shared__ __align__(128) unsigned char gpu_dynamic_shared[]; \
  T *name = reinterpret_cast<T *>(gpu_dynamic_shared)

namespace gpu {

template <class... P, class... A>
cudaError_t launch(const char *, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream, A &&...arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...);
}

__device__ __forceinline__ unsigned shared_address(const void *shared) { return unsigned(__cvta_generic_to_shared(shared)); }

// ---- asynchronous copies from global to shared memory --------------------------------------------------------------

// Copies 16 bytes, bypassing the L1 cache. Both addresses are multiples of 16. Bytes from `bytes` on are zeros, and their source is not
// read.
__device__ __forceinline__ void cp_async16(void *shared, const void *global, int bytes = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes) : "memory");
}
// Copies all 16 bytes, or writes zeros without reading the source. This is cheaper than a variable number of bytes.
__device__ __forceinline__ void cp_async16_if(bool inside, void *shared, const void *global) {
  asm volatile("{ .reg .pred outside; setp.eq.u32 outside, %2, 0; cp.async.cg.shared.global [%0], [%1], 16, outside; }"
               ::"r"(shared_address(shared)), "l"(global), "r"(unsigned(inside)) : "memory");
}
__device__ __forceinline__ void cp_async8(void *shared, const void *global, int bytes = 8) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes) : "memory");
}
__device__ __forceinline__ void cp_async4(void *shared, const void *global, int bytes = 4) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes) : "memory");
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most N groups of this thread's copies are in flight. Other threads see the copies after a barrier.
template <int N> __device__ __forceinline__ void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// ---- tiles of 8 x 8 16-bit elements from shared memory ------------------------------------------------------------

// Lane 8 i + j gives the address of row j of tile i (16 bytes, aligned). In lane 4 g + t, r[i] holds the elements 2 t and 2 t + 1 of row g
// of tile i or, transposed, of its column g. All 32 lanes have to take part.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}
// Loads two tiles. Lanes 0 to 15 give the rows. The addresses of the other lanes are not used, but have to be valid.
__device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}

// ---- tensor cores: D = A B + D in float32 ---------------------------------------------------------------------------

__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __half) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __nv_bfloat16) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// With tf32 operands, which are floats rounded by to_tf32. The hardware ignores the 13 lowest bits of a float that is not rounded.
__device__ __forceinline__ void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// Rounds to 10 bits of mantissa, to nearest, ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(float x) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

// ---- approximations: relative error about 2^-22, denormals become zero; tanh about 2^-11 ------------------------------

__device__ __forceinline__ float exp2_approx(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
__device__ __forceinline__ float log2_approx(float x) { float y; asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
__device__ __forceinline__ float reciprocal_approx(float x) { float y; asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
__device__ __forceinline__ float rsqrt_approx(float x) { float y; asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
__device__ __forceinline__ float tanh_approx(float x) { float y; asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }

}  // namespace gpu

#else
#include "emulator/language.h"
#endif

// ---- the same for both ------------------------------------------------------------------------------------------------

namespace gpu {

// CUDA's atomics take `unsigned long long`, which differs from int64_t and uint64_t. Each function returns the old value.
template <class T> struct AtomicWord { using type = T; };
template <> struct AtomicWord<uint64_t> { using type = unsigned long long; };
template <> struct AtomicWord<int64_t> { using type = long long; };
template <class T> using atomic_word = typename AtomicWord<T>::type;

template <class T> __device__ __forceinline__ T atomic_max(T *p, T v) {
  return T(atomicMax(reinterpret_cast<atomic_word<T> *>(p), atomic_word<T>(v)));
}
template <class T> __device__ __forceinline__ T atomic_min(T *p, T v) {
  return T(atomicMin(reinterpret_cast<atomic_word<T> *>(p), atomic_word<T>(v)));
}
template <class T> __device__ __forceinline__ T atomic_add(T *p, T v) { return atomicAdd(p, v); }
__device__ __forceinline__ uint64_t atomic_add(uint64_t *p, uint64_t v) {
  return atomicAdd(reinterpret_cast<unsigned long long *>(p), static_cast<unsigned long long>(v));
}
__device__ __forceinline__ int64_t atomic_add(int64_t *p, int64_t v) {
  return int64_t(atomic_add(reinterpret_cast<uint64_t *>(p), uint64_t(v)));
}
__device__ __forceinline__ uint64_t atomic_cas(uint64_t *p, uint64_t expected, uint64_t v) {
  return atomicCAS(reinterpret_cast<unsigned long long *>(p), static_cast<unsigned long long>(expected),
                   static_cast<unsigned long long>(v));
}
__device__ __forceinline__ uint32_t atomic_cas(uint32_t *p, uint32_t expected, uint32_t v) { return atomicCAS(p, expected, v); }

}  // namespace gpu
