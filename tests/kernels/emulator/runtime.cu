// Devices, memory, graphs and faults, as in the CUDA runtime.
#include "../../../cuda/emulator/options.h"
#include "bug.h"

namespace tests {
namespace {

using castor::emulator::options;

__global__ void add_kernel(int *to, int value) { *to += value; }

struct Stream {
  Stream() { cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking); }
  ~Stream() { cudaStreamDestroy(handle); }
  cudaStream_t handle;
};
cudaError_t add(cudaStream_t stream, const Buffer<int> &to, int value) {
  return gpu::launch("add", add_kernel, dim3(1), dim3(1), 0, stream, to.data(), value);
}
bool is_last(cudaError_t error) { return cudaGetLastError() == error; }

// ---- graphs ------------------------------------------------------------------------------------------------------------

bool replays(bool lazy) {
  options().lazy = lazy;
  const Buffer<int> value(1);
  const Stream stream, branch;
  cudaEvent_t fork, join;
  cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
  cudaEventCreateWithFlags(&join, cudaEventDisableTiming);
  cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeGlobal);
  add(stream.handle, value, 1);
  cudaEventRecord(fork, stream.handle);
  cudaStreamWaitEvent(branch.handle, fork, 0);
  add(branch.handle, value, 10);
  cudaEventRecord(join, branch.handle);
  cudaStreamWaitEvent(stream.handle, join, 0);
  cudaStreamCaptureStatus status;
  cudaStreamIsCapturing(stream.handle, &status);
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  bool right = status == cudaStreamCaptureStatusActive && cudaStreamEndCapture(stream.handle, &graph) == cudaSuccess;
  right &= cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess;
  cudaGraphDestroy(graph);
  right &= value.read()[0] == 0;  // nothing has run yet
  for (int i = 0; i < 3; i++) right &= cudaGraphLaunch(exec, stream.handle) == cudaSuccess;
  cudaGraphExecDestroy(exec);
  cudaStreamSynchronize(stream.handle);
  cudaEventDestroy(fork);
  cudaEventDestroy(join);
  return right && value.read()[0] == 33;
}
const Works replays_eager("a graph repeats what two streams were given", [] { return replays(false); });
const Works replays_lazy("the same with lazy streams", [] { return replays(true); });

// The call is refused while a stream captures, and the capture becomes invalid.
bool refused(const std::function<cudaError_t(cudaStream_t)> &call) {
  const Stream stream;
  cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeGlobal);
  const bool refuses = call(stream.handle) == cudaErrorStreamCaptureUnsupported;
  cudaGraph_t graph;
  return refuses && cudaStreamEndCapture(stream.handle, &graph) == cudaErrorStreamCaptureInvalidated && graph == nullptr;
}
const Works refusals("what CUDA forbids during a capture is forbidden", [] {
  void *data;
  int word = 0;
  const Buffer<int> buffer(1);
  return refused([&](cudaStream_t) { return cudaMalloc(&data, 16); }) &&
         refused([&](cudaStream_t) { return cudaHostAlloc(&data, 16, 0); }) &&
         refused([&](cudaStream_t s) { return cudaStreamSynchronize(s); }) && refused([&](cudaStream_t s) { return cudaStreamQuery(s); }) &&
         refused([&](cudaStream_t) { return cudaDeviceSynchronize(); }) &&
         refused([&](cudaStream_t) { return cudaMemcpy(&word, buffer.data(), sizeof word, cudaMemcpyDeviceToHost); });
});

const Works captured_event("an event of a capture cannot be asked or waited for", [] {
  const Stream stream;
  cudaEvent_t event;
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeGlobal);
  cudaEventRecord(event, stream.handle);
  const bool right = cudaEventQuery(event) == cudaErrorCapturedEvent && cudaEventSynchronize(event) == cudaErrorCapturedEvent;
  cudaGraph_t graph;
  cudaStreamEndCapture(stream.handle, &graph);
  cudaEventDestroy(event);
  return right && cudaGraphDestroy(graph) == cudaSuccess;
});

const Works unjoined("a capture must be joined by all its streams", [] {
  const Stream stream, branch;
  const Buffer<int> value(1);
  cudaEvent_t fork;
  cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
  cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeGlobal);
  cudaEventRecord(fork, stream.handle);
  cudaStreamWaitEvent(branch.handle, fork, 0);
  add(branch.handle, value, 1);
  cudaGraph_t graph;
  const bool right = cudaStreamEndCapture(stream.handle, &graph) == cudaErrorStreamCaptureUnjoined;
  cudaEventDestroy(fork);
  return right;
});

// ---- faults ------------------------------------------------------------------------------------------------------------

const Works fault("after a fault every call fails", [] {
  options().fault = 2;
  const Buffer<int> value(1);
  const Stream stream;
  int word;
  const bool before = add(stream.handle, value, 1) == cudaSuccess && cudaStreamSynchronize(stream.handle) == cudaSuccess;
  const bool launched = add(stream.handle, value, 1) == cudaSuccess;
  void *data;
  return before && launched && cudaStreamSynchronize(stream.handle) == cudaErrorIllegalAddress &&
         cudaMalloc(&data, 16) == cudaErrorIllegalAddress && add(stream.handle, value, 1) == cudaErrorIllegalAddress &&
         is_last(cudaErrorIllegalAddress) && is_last(cudaErrorIllegalAddress) &&
         cudaMemcpy(&word, value.data(), sizeof word, cudaMemcpyDeviceToHost) == cudaErrorIllegalAddress;
});

__global__ void alone_kernel() { if (threadIdx.x == 0) __shfl_sync(2, 0, 0); }
const Works mistake("a mistake is told once and loses nothing", [] {
  const Buffer<int> value(1);
  const Stream stream;
  const cudaError_t error = gpu::launch("alone", alone_kernel, dim3(1), dim3(32), 0, stream.handle);
  const std::string report = castor::emulator::take_report();
  const bool told = error == cudaErrorLaunchFailure && report.find("kernel alone, block (0,0,0) thread (0,0,0): __shfl_sync") == 0 &&
                    report.find("runtime.cu:") != std::string::npos && castor::emulator::take_report().empty();
  return told && is_last(cudaErrorLaunchFailure) && add(stream.handle, value, 2) == cudaSuccess && value.read()[0] == 2;
});

const Works mistake_lazy("a mistake in a queued kernel is told by the next call that waits", [] {
  options().lazy = true;
  const Stream stream;
  const bool queued = gpu::launch("alone", alone_kernel, dim3(1), dim3(32), 0, stream.handle) == cudaSuccess;
  const bool told = cudaStreamSynchronize(stream.handle) == cudaErrorLaunchFailure && cudaStreamSynchronize(stream.handle) == cudaSuccess;
  return queued && told && !castor::emulator::take_report().empty();
});

// ---- devices and memory --------------------------------------------------------------------------------------------------

__global__ void shared_kernel() {}
const Works shared_limit("the architecture says how much shared memory a block may ask for", [] {
  const auto allow = [](int bytes) {
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(&shared_kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  const bool on_90 = allow(227 * 1024) == cudaSuccess && allow(227 * 1024 + 1) == cudaErrorInvalidValue;
  options().architecture = 86;
  cudaDeviceProp properties;
  cudaGetDeviceProperties(&properties, 0);
  return on_90 && properties.sharedMemPerBlockOptin == 99 * 1024 && allow(99 * 1024) == cudaSuccess &&
         allow(99 * 1024 + 1) == cudaErrorInvalidValue;
});

const Works memory_limit("device memory ends", [] {
  options().memory = 1 << 20;
  void *half, *rest;
  size_t free, total;
  const bool fits = cudaMalloc(&half, 1 << 19) == cudaSuccess && cudaMalloc(&rest, (1 << 19) + 1) == cudaErrorMemoryAllocation;
  cudaMemGetInfo(&free, &total);
  const bool counted = free == 1 << 19 && total == 1 << 20;
  return fits && counted && cudaFree(half) == cudaSuccess && cudaMalloc(&rest, 1 << 20) == cudaSuccess && cudaFree(rest) == cudaSuccess;
});

const Works copy_bounds("a copy past the end of its memory is refused", [] {
  const Buffer<int> value(4);
  int words[8] = {};
  return cudaMemcpy(value.data() + 2, words, 12, cudaMemcpyHostToDevice) == cudaErrorInvalidValue &&
         cudaMemset(value.data(), 0, 17) == cudaErrorInvalidValue &&
         cudaMemcpy(words, value.data(), 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue;
});

const Works no_device("no driver, an old one, no device, another device", [] {
  int count = -1;
  cudaDeviceProp properties;
  options().driver = 0;
  bool right = cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver && count == -1;
  options().driver = 12040;
  right &= cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver;
  options().driver = CUDART_VERSION;
  options().devices = 0;
  right &= cudaGetDeviceCount(&count) == cudaErrorNoDevice && count == -1;
  options().devices = 2;
  right &= cudaGetDeviceCount(&count) == cudaSuccess && count == 2;
  return right && cudaSetDevice(2) == cudaErrorInvalidDevice && cudaGetDeviceProperties(&properties, 1) == cudaSuccess &&
         properties.major == 9;
});

const Works old_architecture("a device for which there is no code", [] {
  options().architecture = 75;
  const Buffer<int> value(1);
  return add(nullptr, value, 1) == cudaErrorNoKernelImageForDevice;
});

}  // namespace
}  // namespace tests
