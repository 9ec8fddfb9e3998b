// Segments of device memory and page-locked host memory, from which the pools of abi/memory_pool.h allocate.
#include "memory.h"
#include <algorithm>
#include <cstdlib>
#include <string_view>
#include "device.h"
#include "stream.h"
#if defined(CASTOR_EMULATOR)
#include "emulator/memory.h"
#endif

namespace castor::cuda {
namespace {

// The value of CASTOR_CUDA_MEMORY_FRACTION, or 1.
double fraction_asked() {
  const char *text = std::getenv("CASTOR_CUDA_MEMORY_FRACTION");
  if (!text || !*text) return 1;
  char *end;
  const double fraction = std::strtod(text, &end);
  if (*end || !(fraction > 0 && fraction <= 1))
    fail(CASTOR_DEVICE, "CASTOR_CUDA_MEMORY_FRACTION is '%s', not a number above 0 and up to 1", text);
  return fraction;
}

// Whether CASTOR_CUDA_MEMORY_POOL is 0.
bool alone_asked() {
  const char *text = std::getenv("CASTOR_CUDA_MEMORY_POOL");
  const std::string_view choice = text ? text : "";
  if (choice != "" && choice != "0" && choice != "1") fail(CASTOR_DEVICE, "CASTOR_CUDA_MEMORY_POOL is '%s', not 0 or 1", text);
  return choice == "0";
}

// Returns whether memory was allocated. That there is none left is a normal result, so it is cleared from CUDA's last error.
bool got_memory(Gpu &gpu, cudaError_t error, const char *what) {
  if (error == cudaSuccess) return true;
  if (error != cudaErrorMemoryAllocation) fail_cuda(gpu, error, what);
  cudaGetLastError();
  return false;
}

}  // namespace

Segments::Segments(Gpu &gpu, int64_t total) : gpu_(gpu), total_(total), alone_(alone_asked()) { limit_to(fraction_asked()); }

void Segments::limit_to(double fraction) { limit_ = int64_t(fraction * double(total_)); }

void *Segments::map(int64_t bytes) {
  if (mapped_ + bytes > limit_) return nullptr;
  gpu_.make_current();
  void *data = nullptr;
  if (!got_memory(gpu_, cudaMalloc(&data, size_t(bytes)), "cudaMalloc")) return nullptr;
  mapped_ += bytes;
  mark_free(gpu_.stream().context, data, bytes);
  return data;
}

// Waits for the device, so that no kernel uses the memory any more.
void Segments::unmap(void *data, int64_t bytes) {
  mapped_ -= bytes;
  if (gpu_.lost()) return;
  gpu_.make_current();
  cudaFree(data);
}

int64_t Segments::available() const {
  size_t free = 0, total = 0;
  gpu_.make_current();
  if (gpu_.lost() || cudaMemGetInfo(&free, &total) != cudaSuccess) return 0;
  return std::max<int64_t>(0, std::min(int64_t(free), limit_ - mapped_));
}

int64_t Segments::elsewhere() const {
  size_t free = 0, total = 0;
  gpu_.make_current();
  if (gpu_.lost() || cudaMemGetInfo(&free, &total) != cudaSuccess) return 0;
  return std::max<int64_t>(0, int64_t(total) - int64_t(free) - mapped_);
}

void *Pinned::map(int64_t bytes) {
  gpu_.make_current();
  void *data = nullptr;
  return got_memory(gpu_, cudaHostAlloc(&data, size_t(bytes), cudaHostAllocPortable), "cudaHostAlloc") ? data : nullptr;
}

void Pinned::unmap(void *data, int64_t) {
  if (!gpu_.lost()) cudaFreeHost(data);
}

#if defined(CASTOR_EMULATOR)
void mark_new(Context &context, void *data, int64_t bytes) {
  emulator::enqueue(context.stream, [=] { emulator::mark_allocated(data, size_t(bytes)); });
}
void mark_free(Context &context, void *data, int64_t bytes) {
  emulator::enqueue(context.stream, [=] { emulator::mark_free(data, size_t(bytes)); });
}
#else
void mark_new(Context &, void *, int64_t) {}
void mark_free(Context &, void *, int64_t) {}
#endif

}  // namespace castor::cuda
