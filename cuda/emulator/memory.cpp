#include "memory.h"
#include <cuda_runtime_api.h>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include "asan.h"
#include "race.h"
#include "runtime.h"
#include "trace.h"

namespace castor::emulator {
namespace {

constexpr size_t ALIGNMENT = 256;
constexpr int GARBAGE = 0xff;  // NaN in every float dtype, -1 in every integer dtype
constexpr size_t FILLED = size_t(16) << 20;  // bytes of an allocation that are filled; filling more would touch memory that is never used

enum class Where { device, host };
struct Allocation { size_t bytes; Where where; int device; };

std::map<uintptr_t, Allocation> &allocations() {
  static auto &all = *new std::map<uintptr_t, Allocation>;
  return all;
}

size_t used_on(int device) {
  size_t bytes = size_t(options().occupied);
  for (const auto &[address, a] : allocations()) bytes += a.where == Where::device && a.device == device ? a.bytes : 0;
  return bytes;
}

const std::pair<const uintptr_t, Allocation> *allocation_of(const void *data) {
  const auto next = allocations().upper_bound(uintptr_t(data));
  if (next == allocations().begin()) return nullptr;
  const auto &found = *std::prev(next);
  return uintptr_t(data) < found.first + std::max<size_t>(found.second.bytes, 1) ? &found : nullptr;
}

void *map(size_t bytes) {
#if defined(CASTOR_EMULATOR_RACE)
  return race::map(bytes);
#else
  void *data = nullptr;
  return posix_memalign(&data, ALIGNMENT, std::max<size_t>(bytes, 1)) == 0 ? data : nullptr;
#endif
}
void unmap(void *data, size_t bytes) {
#if defined(CASTOR_EMULATOR_RACE)
  race::unmap(data, bytes);
#else
  (void)bytes;
  std::free(data);
#endif
}

cudaError_t allocate(void **data, size_t bytes, Where where) {
  if (const cudaError_t error = forbid_unsafe()) return error;
  *data = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (where == Where::device && used_on(current_device()) + bytes > size_t(options().memory)) return cudaErrorMemoryAllocation;
  *data = map(bytes);
  if (!*data) return cudaErrorMemoryAllocation;
  allocations()[uintptr_t(*data)] = {bytes, where, current_device()};
  mark_allocated(*data, bytes);
  return cudaSuccess;
}

// Waits for the device, as CUDA does.
cudaError_t release(void *data, Where where) {
  if (!data) return cudaSuccess;
  if (const cudaError_t error = forbid_unsafe()) return error;
  const auto found = allocations().find(uintptr_t(data));
  if (found == allocations().end() || found->second.where != where) return cudaErrorInvalidValue;
  const cudaError_t error = drain([](const CUstream_st &) { return true; });
  asan::unpoison(data, found->second.bytes);
  unmap(data, found->second.bytes);
  allocations().erase(found);
  return error;
}

// Whether bytes that begin in an allocation also end in it.
bool fits(const void *data, size_t bytes) {
  const auto *a = allocation_of(data);
  return !a || uintptr_t(data) + bytes <= a->first + a->second.bytes;
}
bool on_device(const void *data) {
  const auto *a = allocation_of(data);
  return a && a->second.where == Where::device;
}

cudaError_t check_copy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault && bytes > 0 && (on_device(to) != to_device || on_device(from) != from_device))
    return cudaErrorInvalidValue;
  return fits(to, bytes) && fits(from, bytes) ? cudaSuccess : cudaErrorInvalidValue;
}

Operation operation(std::function<void()> work) {
  return {Operation::work, [work = std::move(work)] {
            work();
            return Outcome{cudaSuccess, {}};
          }, nullptr};
}

cudaError_t finish(CUstream_st *stream) {
  return run_until(stream->device, [=] { return stream->queue.empty() && !stream->busy; });
}

// Copies on a stream. If the host memory is not page-locked, the copy is finished when the call returns, as in CUDA.
cudaError_t copy(void *to, const void *from, size_t bytes, CUstream_st *stream) {
  if (!allocation_of(from) && !stream->capture) {
    auto staged = std::make_shared<std::vector<char>>(static_cast<const char *>(from), static_cast<const char *>(from) + bytes);
    return submit(stream, operation([=] { std::memcpy(to, staged->data(), bytes); }));
  }
  const cudaError_t error = submit(stream, operation([=] { std::memcpy(to, from, bytes); }));
  if (error != cudaSuccess || allocation_of(to) || stream->capture) return error;
  return finish(stream);
}

}  // namespace

size_t buffers_left() {
  size_t count = 0;
  for (const auto &[address, a] : allocations()) count += a.where == Where::device && lost_on(a.device) == cudaSuccess;
  return count;
}

void mark_allocated(void *data, size_t bytes) {
  asan::unpoison(data, bytes);
#if defined(CASTOR_EMULATOR_RACE)
  race::allocates(data, bytes);
#endif
  if (!tracing()) std::memset(data, GARBAGE, std::min(bytes, FILLED));
}

void mark_free(void *data, size_t bytes) {
  asan::poison(data, bytes);
#if defined(CASTOR_EMULATOR_RACE)
  race::frees(data, bytes);
#endif
}

}  // namespace castor::emulator

using namespace castor::emulator;

cudaError_t cudaMalloc(void **data, size_t bytes) {
  return call([&] { return allocate(data, bytes, Where::device); });
}
cudaError_t cudaHostAlloc(void **data, size_t bytes, unsigned) {
  return call([&] { return allocate(data, bytes, Where::host); });
}
cudaError_t cudaFree(void *data) {
  return call([&] { return release(data, Where::device); });
}
cudaError_t cudaFreeHost(void *data) {
  return call([&] { return release(data, Where::host); });
}
cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
  return call([&] {
    *total = size_t(options().memory);
    *free = *total - used_on(current_device());
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
  return call([&] {
    const cudaError_t error = check_copy(to, from, bytes, kind);
    return error != cudaSuccess ? error : copy(to, from, bytes, stream_of(handle));
  });
}
// Without peer access the bytes pass through the host, which is many times slower. The emulator does not allow it where it can be avoided.
cudaError_t cudaMemcpyPeerAsync(void *to, int target, const void *from, int source, size_t bytes, cudaStream_t handle) {
  const bool slow = call([&] {
    const bool detour = options().peers && target != source && runtime().peers.count({source, target}) == 0;
    if (detour) runtime().report = "a copy between two GPUs passes through the host, because peer access was not enabled";
    return detour ? cudaErrorPeerAccessNotEnabled : cudaSuccess;
  }) != cudaSuccess;
  if (slow) return cudaErrorPeerAccessNotEnabled;
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, handle);
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
  return call([&] {
    cudaError_t error = forbid_unsafe();
    if (error == cudaSuccess) error = check_copy(to, from, bytes, kind);
    if (error == cudaSuccess) error = copy(to, from, bytes, stream_of(nullptr));
    return error != cudaSuccess ? error : finish(stream_of(nullptr));
  });
}

cudaError_t cudaMemsetAsync(void *data, int value, size_t bytes, cudaStream_t handle) {
  return call([&] {
    if (!fits(data, bytes)) return cudaErrorInvalidValue;
    return submit(stream_of(handle), operation([=] { std::memset(data, value, bytes); }));
  });
}
cudaError_t cudaMemset(void *data, int value, size_t bytes) { return cudaMemsetAsync(data, value, bytes, nullptr); }
