// What a CUDA device needs on the host: its stream, its memory, and what its kernels report.
#pragma once
#include "../abi/device.h"
#include "fault.h"
#include "gpu.h"

namespace castor::cuda {

// Throws what a CUDA error stands for; `what` is the call or the kernel.
void check(cudaError_t error, const char *what);

struct Context {
  int32_t id;        // castor_device: CASTOR_CUDA + 256 * ordinal
  int ordinal;       // CUDA's number of the device
  int architecture;  // 80, 90
  int multiprocessors;
  int64_t shared_limit;  // bytes of shared memory that a block may ask for
  cudaStream_t stream;
  Fault *fault;      // what a kernel found wrong with its data; the host's memory, mapped into the device

  void *allocate(int64_t bytes);  // in the order of the stream; null when there is no memory left
  void release(void *data, int64_t bytes);
};

// The context of a view's device, made current for this thread.
Context &context_of(const View &view);

// Device memory for the length of a kernel: released in the order of the stream.
class Scratch {
 public:
  Scratch(Context &context, int64_t bytes);
  ~Scratch() { if (data_) context_.release(data_, bytes_); }
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;
  template <class T> T *as() const { return static_cast<T *>(data_); }

 private:
  Context &context_;
  int64_t bytes_;
  void *data_;
};

}  // namespace castor::cuda
