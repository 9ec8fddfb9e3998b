// Copies between the host and a GPU through page-locked memory, and between two GPUs.
#include "transfer.h"
#include <algorithm>
#include <cstring>
#include "device.h"
#include "stream.h"

namespace castor::cuda {
namespace {

Memory expect_pinned(MemoryPool &pinned, int64_t bytes) {
  const Memory memory = pinned.allocate(bytes);
  if (!memory.data)
    fail(CASTOR_OUT_OF_MEMORY, "the system has no %lld bytes of page-locked memory left for copies from and to the GPU", (long long)bytes);
  return memory;
}

}  // namespace

cudaEvent_t Events::take() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!spare_.empty()) {
      const cudaEvent_t event = spare_.back();
      spare_.pop_back();
      return event;
    }
  }
  cudaEvent_t event;
  gpu_.make_current();
  check(gpu_, cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync), "cudaEventCreate");
  return event;
}

void Events::give_back(cudaEvent_t event) {
  std::lock_guard<std::mutex> lock(mutex_);
  spare_.push_back(event);
}

// ---- host to device --------------------------------------------------------------------------------------------

bool Staging::reuse_oldest() {
  const cudaError_t state = retired_.empty() ? cudaErrorNotReady : cudaEventQuery(retired_.front().used);
  if (state == cudaErrorNotReady) return false;
  check(context_.gpu, state, "write");
  current_ = retired_.front();
  retired_.pop_front();
  return true;
}

void Staging::turn() {
  if (current_.data) {
    check(context_.gpu, cudaEventRecord(current_.used, context_.stream), "write");
    retired_.push_back(current_);
    current_ = {};
  }
  filled_ = CHUNK;  // no chunk has room yet
  if (!reuse_oldest()) {
    if (retired_.size() == CHUNKS) {
      check(context_.gpu, cudaEventSynchronize(retired_.front().used), "write");
      reuse_oldest();
    } else {
      current_.data = static_cast<char *>(expect_pinned(pinned_, CHUNK).data);
      current_.used = context_.gpu.events.take();
    }
  }
  filled_ = 0;
}

void Staging::write(void *to, const void *host, int64_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (int64_t done = 0; done < bytes;) {
    if (filled_ == CHUNK) turn();
    const int64_t part = std::min(bytes - done, CHUNK - filled_);
    std::memcpy(current_.data + filled_, static_cast<const char *>(host) + done, size_t(part));
    check(context_.gpu,
          cudaMemcpyAsync(static_cast<char *>(to) + done, current_.data + filled_, size_t(part), cudaMemcpyHostToDevice, context_.stream),
          "write");
    done += part;
    filled_ = std::min(CHUNK, (filled_ + part + 255) / 256 * 256);
  }
}

// ---- device to host --------------------------------------------------------------------------------------------

Arrival::Arrival(Stream &stream, MemoryPool &pinned, const void *from, int64_t bytes)
    : Reading(bytes), stream_(stream), arrived_(stream.context.gpu.events.take()) {
  if (bytes > 0) {
    pinned_ = expect_pinned(pinned, bytes);
    check(stream.context.gpu, cudaMemcpyAsync(pinned_.data, from, size_t(bytes), cudaMemcpyDeviceToHost, stream.context.stream), "read");
  }
  check(stream.context.gpu, cudaEventRecord(arrived_, stream.context.stream), "read");
}

Arrival::~Arrival() {
  if (pinned_.block) MemoryPool::release(pinned_.block);
  stream_.context.gpu.events.give_back(arrived_);
}

void Arrival::wait() {
  stream_.context.gpu.attend();
  const cudaError_t error = cudaEventSynchronize(arrived_);
  if (error != cudaSuccess) error_ = error;
}

void Arrival::wait_briefly() {
  constexpr int QUESTIONS = 100;  // about 50 microseconds
  cudaError_t state = cudaErrorNotReady;
  for (int i = 0; i < QUESTIONS && state == cudaErrorNotReady; i++) state = cudaEventQuery(arrived_);
  if (state != cudaSuccess) wait();
}

void Arrival::copy_to(void *host) {
  check(stream_.context.gpu, error_, "read");
  stream_.check_fault();
  if (bytes > 0) std::memcpy(host, pinned_.data, size_t(bytes));
}

void read_now(Stream &stream, MemoryPool &pinned, const void *from, void *host, int64_t bytes) {
  std::deque<std::unique_ptr<Arrival>> chunks;
  int64_t queued = 0, done = 0;
  while (done < bytes) {
    for (; queued < bytes && chunks.size() < 2; queued += chunks.back()->bytes) {
      const int64_t part = std::min(bytes - queued, Staging::CHUNK);
      chunks.push_back(std::make_unique<Arrival>(stream, pinned, static_cast<const char *>(from) + queued, part));
    }
    chunks.front()->wait_briefly();
    chunks.front()->copy_to(static_cast<char *>(host) + done);
    done += chunks.front()->bytes;
    chunks.pop_front();
  }
}

void copy_between(Stream &from_stream, const void *from, Stream &to_stream, void *to, int64_t bytes) {
  Context &source = from_stream.context, &target = to_stream.context;
  from_stream.after(to_stream);
  source.gpu.reach(target.gpu);
  source.gpu.make_current();
  check(source.gpu, cudaMemcpyPeerAsync(to, target.ordinal, from, source.ordinal, size_t(bytes), source.stream), "copy");
  to_stream.after(from_stream);
}

}  // namespace castor::cuda
