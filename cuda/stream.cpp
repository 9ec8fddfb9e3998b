// The CUDA objects of a stream, and the report of wrong data that a kernel has found.
#include "stream.h"
#include "../abi/error.h"
#include "device.h"

namespace castor::cuda {

cudaError_t open_stream(Context &context) {
  const cudaError_t error = cudaStreamCreateWithFlags(&context.stream, cudaStreamNonBlocking);
  if (error != cudaSuccess) return error;
  return cudaHostAlloc(reinterpret_cast<void **>(&context.fault), sizeof(Fault), cudaHostAllocMapped);
}

Stream::Stream(int number, const Context &opened, MemoryPool &pinned) : number(number), context(opened), staging(context, pinned) {
  *context.fault = {};
  context.pool = new MemoryPool(context.gpu.segments(), number);
}

void Stream::after(const Stream &other) {
  Gpu &gpu = other.context.gpu;
  gpu.make_current();
  const cudaEvent_t event = gpu.events.take();
  check(cudaEventRecord(event, other.context.stream), "waiting for another stream");
  context.gpu.make_current();
  check(cudaStreamWaitEvent(context.stream, event, 0), "waiting for another stream");
  gpu.events.give_back(event);
}

void Stream::check_fault() {
  if (context.fault->site == int32_t(Site::none)) return;
  std::lock_guard<std::mutex> lock(mutex_);
  const Fault found = *context.fault;
  if (found.site == int32_t(Site::none)) return;
  context.fault->site = int32_t(Site::none);
  const char *const name = name_of(Site(found.site));
  if (found.size == NO_AXIS) fail(CASTOR_ARGUMENT, "in an earlier %s %s", name, text_of(Defect(found.value)));
  fail(CASTOR_INDEX, "an earlier %s met index %lld on an axis of size %lld", name, (long long)found.value, (long long)found.size);
}

}  // namespace castor::cuda
