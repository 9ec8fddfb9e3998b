// The sources of memory for a GPU's pools.
#pragma once
#include <atomic>
#include "../abi/memory_pool.h"
#include "context.h"

namespace castor::cuda {

// Segments of device memory, for the pools of streams and of graphs.
class Segments final : public MemoryPool::Source {
 public:
  Segments(Gpu &gpu, int64_t total);
  void *map(int64_t bytes) override;
  void unmap(void *data, int64_t bytes) override;
  bool alone() const override { return alone_; }
  void limit_to(double fraction);  // fraction of the device's memory, 0 to 1
  int64_t total() const { return total_; }
  int64_t available() const;  // bytes that map() may still find
  int64_t elsewhere() const;  // bytes in use that do not belong to this process or to CUDA itself

 private:
  Gpu &gpu_;
  const int64_t total_;
  const bool alone_;
  std::atomic<int64_t> limit_{0}, mapped_{0};
};

// Page-locked memory of the host, which the GPU accesses directly.
class Pinned final : public MemoryPool::Source {
 public:
  explicit Pinned(Gpu &gpu) : gpu_(gpu) {}
  void *map(int64_t bytes) override;
  void unmap(void *data, int64_t bytes) override;

 private:
  Gpu &gpu_;
};

// On the emulator a new block is filled with NaN, and under AddressSanitizer memory that is not in use may not be accessed; on a GPU
// nothing is done. Both run in the order of the stream. `GUARD` bytes after each block keep overruns from reaching the next one.
#if defined(CASTOR_EMULATOR) && defined(__SANITIZE_ADDRESS__)
constexpr int64_t GUARD = MemoryPool::UNIT;
#else
constexpr int64_t GUARD = 0;
#endif
void mark_new(Context &context, void *data, int64_t bytes);
void mark_free(Context &context, void *data, int64_t bytes);

}  // namespace castor::cuda
