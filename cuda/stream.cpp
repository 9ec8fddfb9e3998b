// The CUDA objects of a stream, and the report of wrong data that a kernel has found.
#include "stream.h"
#include "../abi/error.h"
#include "device.h"

namespace castor::cuda {

cudaError_t open_stream(Context &context) {
  const cudaError_t error = cudaStreamCreateWithFlags(&context.stream, cudaStreamNonBlocking);
  if (error != cudaSuccess) return error;
  if (const cudaError_t failed = cudaHostAlloc(reinterpret_cast<void **>(&context.report), sizeof(FaultReport), cudaHostAllocMapped))
    return failed;
  *context.report = {};
  if (const cudaError_t failed = cudaMalloc(reinterpret_cast<void **>(&context.fault), sizeof(Fault))) return failed;
  const Fault none{0, context.report};
  return cudaMemcpyAsync(context.fault, &none, sizeof none, cudaMemcpyHostToDevice, context.stream);
}

Stream::Stream(int number, const Context &opened, MemoryPool &pinned) : number(number), context(opened), staging(context, pinned) {
  context.pool = new MemoryPool(context.gpu.segments(), number);
}

void Stream::after(const Stream &other) {
  Gpu &gpu = other.context.gpu;
  gpu.make_current();
  const cudaEvent_t event = gpu.events.take();
  check(gpu, cudaEventRecord(event, other.context.stream), "waiting for another stream");
  context.gpu.make_current();
  check(context.gpu, cudaStreamWaitEvent(context.stream, event, 0), "waiting for another stream");
  gpu.events.give_back(event);
}

// Work that the stream has so far writes no other report: that becomes possible again in the order of the stream.
FaultReport Stream::take_report() {
  std::lock_guard<std::mutex> lock(mutex_);
  const FaultReport found = *context.report;
  if (found.site == int32_t(Site::none)) return found;
  *context.report = {};
  context.gpu.make_current();
  check(context.gpu, cudaMemsetAsync(&context.fault->taken, 0, sizeof context.fault->taken, context.stream), "reporting an error");
  return found;
}

void Stream::start_over() {
  if (cudaStreamSynchronize(context.stream) != cudaSuccess) return;  // the device is lost, as the next call on it says
  std::lock_guard<std::mutex> lock(mutex_);
  if (std::exchange(context.report->site, int32_t(Site::none)) == int32_t(Site::none)) return;
  cudaMemsetAsync(&context.fault->taken, 0, sizeof context.fault->taken, context.stream);
}

void Stream::check_fault() {
  if (context.report->site == int32_t(Site::none)) return;
  const FaultReport found = take_report();
  if (found.site == int32_t(Site::none)) return;
  const char *const name = name_of(Site(found.site));
  if (found.size == NO_AXIS) fail(CASTOR_ARGUMENT, "in an earlier %s %s", name, text_of(Defect(found.value)));
  fail(CASTOR_INDEX, "an earlier %s met index %lld on an axis of size %lld", name, (long long)found.value, (long long)found.size);
}

}  // namespace castor::cuda
