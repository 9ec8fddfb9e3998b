// Streams that record their operations, and graphs that repeat them.
#include <cuda_runtime_api.h>
#include <algorithm>
#include <thread>
#include "runtime.h"

struct CUgraphExec_st {
  std::vector<castor::emulator::Operation> operations;
};

namespace castor::emulator {
namespace {

thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

// Whether a call of this thread disturbs the capture. A thread-local capture is disturbed by calls of its own thread, a global one by calls
// of any thread. A thread can declare that its calls are allowed.
bool minds(const Capture &capture) {
  if (thread_mode == cudaStreamCaptureModeRelaxed || capture.mode == cudaStreamCaptureModeRelaxed) return false;
  return capture.mode == cudaStreamCaptureModeGlobal || capture.thread == std::this_thread::get_id();
}

}  // namespace

cudaError_t forbid_in_capture(CUstream_st *stream) {
  if (!stream->capture) return cudaSuccess;
  stream->capture->valid = false;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t forbid_unsafe() {
  cudaError_t error = cudaSuccess;
  for (Capture *capture : runtime().captures) {
    if (!minds(*capture)) continue;
    capture->valid = false;
    error = cudaErrorStreamCaptureUnsupported;
  }
  return error;
}

cudaError_t join_capture(CUstream_st *stream, CUevent_st *event) {
  const auto &all = runtime().captures;
  if (std::find(all.begin(), all.end(), event->capture) == all.end()) return cudaErrorInvalidValue;  // it has ended
  if (stream->capture && stream->capture != event->capture) return cudaErrorStreamCaptureMerge;
  stream->capture = event->capture;
  event->recorder->unjoined = false;
  return cudaSuccess;
}

}  // namespace castor::emulator

using namespace castor::emulator;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call([&] {
    CUstream_st *const stream = stream_of(handle);
    if (stream != handle || stream->capture) return cudaErrorStreamCaptureUnsupported;
    stream->capture = new Capture{new CUgraph_st, stream, mode, std::this_thread::get_id()};
    runtime().captures.push_back(stream->capture);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph) {
  return call([&] {
    *graph = nullptr;
    Capture *const capture = stream_of(handle)->capture;
    if (!capture) return cudaErrorIllegalState;
    if (capture->origin != handle) return cudaErrorStreamCaptureUnmatched;
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
      return cudaErrorStreamCaptureWrongThread;
    cudaError_t error = capture->valid ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
    for (CUstream_st *stream : runtime().streams) {
      if (stream->capture != capture) continue;
      if (std::exchange(stream->unjoined, false) && error == cudaSuccess) error = cudaErrorStreamCaptureUnjoined;
      stream->capture = nullptr;
    }
    auto &all = runtime().captures;
    all.erase(std::find(all.begin(), all.end(), capture));
    if (error == cudaSuccess) *graph = capture->graph;
    else delete capture->graph;
    delete capture;
    return error;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus *status) {
  return call([&] {
    const Capture *const capture = stream_of(handle)->capture;
    *status = !capture ? cudaStreamCaptureStatusNone : capture->valid ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode) {
  std::swap(*mode, thread_mode);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long) {
  return call([&] {
    *exec = new CUgraphExec_st{graph->operations};
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  return call([&] {
    for (const Operation &operation : exec->operations) {
      const cudaError_t error = submit(stream_of(handle), operation);
      if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
  });
}

// Queued operations hold references to what they need.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return call([&] {
    delete exec;
    return cudaSuccess;
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call([&] {
    delete graph;
    return cudaSuccess;
  });
}
