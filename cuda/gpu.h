// gpu.h - the one header every kernel file includes.
//   nvcc : thin wrappers over CUDA (inline PTX where CUDA C++ has no intrinsic)
//   g++  : the same names, served by the host executor (emu.h)
#pragma once
#include <cuda_runtime.h>
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <stdint.h>
#include <stddef.h>

#if defined(__CUDACC__)
// ------------------------------------------------------------------ real CUDA
#define GPU_SHARED(T, name, dims) __shared__ T name dims
#define GPU_DYN_SHARED(T, name)                                          \
  extern __shared__ __align__(128) unsigned char gpu_dyn_smem_[];        \
  T* name = reinterpret_cast<T*>(gpu_dyn_smem_)
#define GPU_UNROLL _Pragma("unroll")

namespace gpu {
template <class... P, class... A>
inline cudaError_t launch(void (*kern)(P...), dim3 grid, dim3 block, size_t smem,
                          cudaStream_t stream, A&&... a) {
  cudaLaunchConfig_t c{};
  c.gridDim = grid; c.blockDim = block; c.dynamicSmemBytes = smem; c.stream = stream;
  return cudaLaunchKernelEx(&c, kern, static_cast<P>(a)...);
}

// 16-byte global -> shared; bytes beyond src_bytes are zero filled
__device__ __forceinline__ void cp_async16(void* dst_smem, const void* src, int src_bytes = 16) {
  unsigned d = static_cast<unsigned>(__cvta_generic_to_shared(dst_smem));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(d), "l"(src), "r"(src_bytes) : "memory");
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row_smem) {
  unsigned s = static_cast<unsigned>(__cvta_generic_to_shared(row_smem));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(s) : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row_smem) {
  unsigned s = static_cast<unsigned>(__cvta_generic_to_shared(row_smem));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(s) : "memory");
}
// D = A(16x16,row) * B(16x8,col) + D, f32 accumulate
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __half) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __nv_bfloat16) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
}  // namespace gpu
#else
#include "emulator/emu.h"
#endif
