// What a launcher needs of a CUDA device: its stream, its memory, and what its kernels report.
#pragma once
#include "../abi/backend.h"
#include "../abi/memory.h"
#include "fault.h"
#include "gpu.h"

namespace castor {
class MemoryPool;
}

namespace castor::cuda {

[[noreturn]] void fail_cuda(cudaError_t error, const char *what);

// Throws what a CUDA error stands for; `what` is the call or the kernel.
inline void check(cudaError_t error, const char *what) {
  if (error != cudaSuccess) [[unlikely]] fail_cuda(error, what);
}

class Gpu;

// One for each thread that uses a device; and one a capture, with a stream and memory of its own.
struct Context {
  Gpu &gpu;
  int32_t id;            // castor_device: CASTOR_CUDA + 256 * ordinal
  int ordinal;           // CUDA's number of the device
  int architecture;      // 80, 90
  int multiprocessors;
  int64_t shared_limit;  // bytes of shared memory that a block may ask for
  cudaStream_t stream;
  Fault *fault;          // what a kernel found wrong with its data; the host's memory, mapped into the device
  MemoryPool *pool;
  // While a graph is captured: where each replay finds the seed, and the number to add to the offsets of the random ops, in device
  // memory. Null otherwise.
  const uint64_t *random_base;

  Memory allocate(int64_t bytes);  // in the order of the stream; data is null when there is no memory left
  void release(Memory memory);
  // Remembers what was launched, for the report of a crash.
  void launched(const char *name);
  void allow_shared(const void *kernel, int64_t bytes, const char *name);
};

// The context of a view's device, made current for this thread. The view must have a storage: pass an output.
Context &context_of(const View &view);

// Device memory for the length of a kernel: released in the order of the stream.
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
