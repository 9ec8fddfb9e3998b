// Copies between the host and a GPU, in the order of a stream.
#pragma once
#include <deque>
#include <mutex>
#include <vector>
#include "../abi/device.h"
#include "memory.h"

namespace castor::cuda {

class Stream;

// A pool of events. Creating one takes longer than recording it.
class Events {
 public:
  explicit Events(Gpu &gpu) : gpu_(gpu) {}
  cudaEvent_t take();
  void give_back(cudaEvent_t event);

 private:
  Gpu &gpu_;
  std::mutex mutex_;
  std::vector<cudaEvent_t> spare_;
};

// Copies from memory that the caller may change as soon as the call returns. They pass through pinned chunks that are filled one after the
// other. A chunk is filled again when the copies from it have run.
class Staging {
 public:
  static constexpr int64_t CHUNK = 4 << 20;
  static constexpr size_t CHUNKS = 8;  // so many bytes may wait for the device before a write waits as well

  Staging(Context &context, MemoryPool &pinned) : context_(context), pinned_(pinned) {}
  void write(void *to, const void *host, int64_t bytes);

 private:
  struct Chunk {
    char *data = nullptr;
    cudaEvent_t used = nullptr;
  };
  Context &context_;
  MemoryPool &pinned_;
  std::mutex mutex_;
  Chunk current_;
  int64_t filled_ = CHUNK;
  std::deque<Chunk> retired_;  // oldest first

  void turn();
  bool reuse_oldest();
};

// A read that runs in the background: its bytes are copied to pinned memory, and an event tells when they have arrived. With 0 bytes it
// completes when the work that the stream has queued so far is done.
class Arrival final : public Reading {
 public:
  Arrival(Stream &stream, MemoryPool &pinned, const void *from, int64_t bytes);
  ~Arrival() override;
  void wait() override;
  void copy_to(void *host) override;
  // Asks a few times before it waits. A thread that waits sleeps, and takes tens of microseconds to wake up.
  void wait_briefly();

 private:
  Stream &stream_;
  Memory pinned_{nullptr, nullptr};
  const cudaEvent_t arrived_;
  std::atomic<cudaError_t> error_{cudaSuccess};
};

// Waits for the bytes. A large read is divided into chunks, and one is copied to the host while the next is being transferred.
void read_now(Stream &stream, MemoryPool &pinned, const void *from, void *host, int64_t bytes);

// Copies between two GPUs, in the order of both streams.
void copy_between(Stream &from_stream, const void *from, Stream &to_stream, void *to, int64_t bytes);

}  // namespace castor::cuda
