// The work that one thread of the process queues on a GPU, and the memory that it uses. Threads do not wait for each other's work, unless
// one uses memory of another.
#pragma once
#include "../abi/notify.h"
#include "transfer.h"

namespace castor::cuda {

class Stream {
 public:
  static constexpr int MOST = 64;  // for each GPU; further threads share them

  const int number;
  Context context;
  Staging staging;
  Notifier notifier;  // its reads complete in the order in which they were queued

  Stream(int number, const Context &context, MemoryPool &pinned);

  uint64_t bit() const { return uint64_t(1) << number; }
  // Work that is queued from now on runs after all work that is queued on `other`, perhaps of another GPU, so far.
  void after(const Stream &other);
  // Throws the error that a kernel of this stream reported, once.
  void check_fault();
  // For a new thread: waits for the work of the one that had the stream before, and forgets what its kernels reported.
  void start_over();

 private:
  std::mutex mutex_;  // guards the report

  FaultReport take_report();
};

// Creates the CUDA objects of a Stream.
cudaError_t open_stream(Context &context);

}  // namespace castor::cuda
