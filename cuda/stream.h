// What one thread of the process queues on a GPU, and the memory it uses for that. Threads do not wait for each other's work, unless
// one uses memory of another.
#pragma once
#include "../abi/notify.h"
#include "transfer.h"

namespace castor::cuda {

class Stream {
 public:
  static constexpr int MOST = 64;  // a GPU; threads beyond that share

  const int number;
  Context context;
  Staging staging;
  Notifier notifier;  // its reads end in the order in which they were queued

  Stream(int number, const Context &context, MemoryPool &pinned);

  uint64_t bit() const { return uint64_t(1) << number; }
  // What is queued from now on runs after all that is queued on `other`, maybe of another GPU, now.
  void after(const Stream &other);
  // Throws what a kernel of this stream found wrong with its data, once.
  void check_fault();

 private:
  std::mutex mutex_;  // guards the fault
};

// What a Stream needs of CUDA.
cudaError_t open_stream(Context &context);

}  // namespace castor::cuda
