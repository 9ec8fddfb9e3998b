// The device language for g++: what gpu.h uses instead of CUDA without nvcc. The threads of a block are fibers of one thread of the system,
// and blocks run one after the other. It is only for tests: no library that is shipped contains any of it.
#pragma once
#include <cuda_runtime.h>
#include "atomics.h"
#include "collectives.h"
#include "intrinsics.h"
#include "launch.h"
#include "shared.h"
#include "tiles.h"

// CUDA's headers define this as nothing, which would give every thread an array of its own.
#undef __shared__
#define __shared__ _Pragma("GCC error \"GPU_SHARED or GPU_DYN_SHARED, not __shared__\"")
// The compiler writes as many no-operations before the kernel as it may have threads, and the address of the first one into a table,
// which is how a launch knows the number (grid.cpp). sizeof makes a literal of a named constant, which the compiler needs in templates.
#undef __launch_bounds__
#define __launch_bounds__(...) EMULATOR_BOUNDS(__VA_ARGS__, 1)
#define EMULATOR_BOUNDS(threads, ...) __attribute__((patchable_function_entry(sizeof(char[threads]), sizeof(char[threads]))))
#undef __grid_constant__
#define __grid_constant__
#define GPU_UNROLL
#define GPU_NO_UNROLL

inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

// The address of the key identifies the array, also in each instance of a template.
#define GPU_SHARED(T, name, dims) \
  using shared_type_of_##name = T dims; \
  static const char shared_key_of_##name = 0; \
  shared_type_of_##name &name = *static_cast<shared_type_of_##name *>(::castor::emulator::shared.array( \
      &shared_key_of_##name, sizeof(shared_type_of_##name), alignof(shared_type_of_##name)))
#define GPU_DYN_SHARED(T, name) T *name = static_cast<T *>(::castor::emulator::shared.dynamic())
