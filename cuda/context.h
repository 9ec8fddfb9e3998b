// The parts of a CUDA device that a launcher uses: its stream, its memory, and the reports of its kernels.
#pragma once
#include "../abi/backend.h"
#include "../abi/memory.h"
#include "fault.h"
#include "gpu.h"

namespace castor {
class MemoryPool;
}

namespace castor::cuda {

class Gpu;

[[noreturn]] void fail_cuda(Gpu &gpu, cudaError_t error, const char *what);

// Throws the exception for a CUDA error. `what` is the call or the kernel. The caller names the GPU, which counts as lost after an error
// from which it does not recover: the current device of the thread may be another one.
inline void check(Gpu &gpu, cudaError_t error, const char *what) {
  if (error != cudaSuccess) [[unlikely]] fail_cuda(gpu, error, what);
}

// There is one context for each thread that uses a device, and one for each capture, with a stream and memory of its own.
struct Context {
  Gpu &gpu;
  int32_t id;            // castor_device: CASTOR_CUDA + 256 * ordinal
  int ordinal;           // CUDA's number of the device
  int architecture;      // 80, 90
  int multiprocessors;
  int64_t shared_limit;  // bytes of shared memory that a block may request
  cudaStream_t stream;
  Fault *fault;          // where kernels report wrong data; device memory
  FaultReport *report;   // where the first of them writes; host memory, mapped into the device
  MemoryPool *pool;
  // Set while a graph is captured: the place in device memory where each replay finds the seed and the number to add to the offsets of the
  // random ops. Null otherwise.
  const uint64_t *random_base;

  Memory allocate(int64_t bytes);  // in the order of the stream; data is null if no memory is left
  void release(Memory memory);
  // Remembers what was launched, to be reported after a crash.
  void launched(const char *name);
  void allow_shared(const void *kernel, int64_t bytes, const char *name);
};

// The context of the device of a view, which is made current for this thread. The view must have a storage, so callers pass an output.
Context &context_of(const View &view);

// Device memory for the duration of a kernel. It is released in the order of the stream.
class Scratch {
 public:
  Scratch(Context &context, int64_t bytes);
  ~Scratch() { if (memory_.data) context_.release(memory_); }
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;
  template <class T> T *as() const { return static_cast<T *>(memory_.data); }

 private:
  Context &context_;
  Memory memory_;
};

}  // namespace castor::cuda
