#include <cuda_runtime_api.h>
#include <algorithm>
#include <cstring>
#include "runtime.h"
#include "shared.h"
#include "trace.h"

namespace castor::emulator {
namespace {

CUstream_st *legacy_stream(int device) {
  static auto &all = *new std::map<int, CUstream_st *>;
  CUstream_st *&stream = all[device];
  if (!stream) stream = new CUstream_st(device, true);
  runtime().streams.insert(stream);
  return stream;
}

bool is_legacy(const CUstream_st *stream) { return stream == legacy_stream(stream->device); }
bool is_idle(const CUstream_st &stream) { return stream.queue.empty() && !stream.busy; }

bool can_step(const CUstream_st &stream) {
  if (stream.queue.empty() || stream.busy) return false;
  const Operation &next = stream.queue.front();
  return next.kind != Operation::wait || next.event->done >= next.number;
}

std::vector<CUstream_st *> steppable() {
  std::vector<CUstream_st *> list;
  std::copy_if(runtime().streams.begin(), runtime().streams.end(), std::back_inserter(list), [](CUstream_st *s) { return can_step(*s); });
  return list;
}

void step_one_of(const std::vector<CUstream_st *> &list) {
  CUstream_st *const stream = list[runtime().random.below(uint32_t(list.size()))];
  Operation operation = std::move(stream->queue.front());
  stream->queue.pop_front();
  stream->busy = true;
  const cudaError_t error = perform(stream->device, operation);
  stream->busy = false;
  if (error != cudaSuccess) runtime().mistake = error;
}

// The events that the device will never reach count as done, so that other devices do not wait for them.
void lose(int device, cudaError_t error) {
  runtime().lost[device] = error;
  for (CUstream_st *stream : runtime().streams) {
    if (stream->device != device) continue;
    for (const Operation &operation : stream->queue)
      if (operation.kind == Operation::record) operation.event->done = std::max(operation.event->done, operation.number);
    stream->queue.clear();
  }
}

Operation launch_operation(const Launch &launch) {
  return {Operation::work, [launch, kept = launch.keep(launch.arguments)] {
            Launch mine = launch;
            mine.arguments = kept.get();
            return run_grid(mine);
          }, nullptr};
}

bool runs_at_once(const CUstream_st *stream) { return !stream->capture && !options().lazy; }

// A mistake is reported to the caller at once. A fault is reported to the next call that asks, as on a GPU.
cudaError_t settle(int device, const Outcome &outcome) {
  if (outcome.error == cudaSuccess) return cudaSuccess;
  runtime().report = outcome.report;
  const bool fault = outcome.error == cudaErrorIllegalAddress || outcome.error == cudaErrorMisalignedAddress;
  if (fault) lose(device, outcome.error);
  return fault ? cudaSuccess : outcome.error;
}

}  // namespace

CUstream_st *stream_of(cudaStream_t handle) {
  const bool legacy = handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread;
  return legacy ? legacy_stream(current_device()) : handle;
}

// A host function runs without the lock, because it may wait for a thread that is inside a runtime function.
cudaError_t perform(int device, Operation &operation) {
  switch (operation.kind) {
    case Operation::work: return settle(device, operation.run());
    case Operation::record: operation.event->done = std::max(operation.event->done, operation.number); break;
    case Operation::wait: break;
    case Operation::host_function:
      runtime().mutex.unlock();
      operation.run();
      runtime().mutex.lock();
      runtime().changed.notify_all();
  }
  return cudaSuccess;
}

cudaError_t submit(CUstream_st *stream, Operation operation) {
  if (stream->capture) {
    stream->unjoined = stream != stream->capture->origin;
    stream->capture->graph->operations.push_back(std::move(operation));
    return cudaSuccess;
  }
  if (!options().lazy) return perform(stream->device, operation);
  if (is_legacy(stream)) {
    const cudaError_t error = drain([=](const CUstream_st &other) { return other.blocking && other.device == stream->device; });
    return error != cudaSuccess ? error : perform(stream->device, operation);
  }
  stream->queue.push_back(std::move(operation));
  return cudaSuccess;
}

cudaError_t run_until(int device, const std::function<bool()> &reached) {
  while (!reached() && lost_on(device) == cudaSuccess) {
    const std::vector<CUstream_st *> list = steppable();
    if (!list.empty()) step_one_of(list);
    else runtime().changed.wait(runtime().mutex);  // another thread is running a host function
  }
  const cudaError_t lost = lost_on(device);
  return lost != cudaSuccess ? lost : std::exchange(runtime().mistake, cudaSuccess);
}

cudaError_t drain(const std::function<bool(const CUstream_st &)> &which) {
  return run_until(current_device(), [&] {
    return std::all_of(runtime().streams.begin(), runtime().streams.end(), [&](CUstream_st *s) { return !which(*s) || is_idle(*s); });
  });
}

void step() {
  const std::vector<CUstream_st *> list = steppable();
  if (!list.empty()) step_one_of(list);
}

cudaError_t enqueue(cudaStream_t handle, std::function<void()> work) {
  return call([&] {
    return submit(stream_of(handle), {Operation::work, [work = std::move(work)] {
                                        work();
                                        return Outcome{cudaSuccess, {}};
                                      }, nullptr});
  });
}

cudaError_t launch(const Launch &given, cudaStream_t handle) {
  return call([&] {
    constexpr int oldest_architecture = 80;
    if (options().architecture < oldest_architecture) return cudaErrorNoKernelImageForDevice;
    CUstream_st *const stream = stream_of(handle);
    if (stream->device != current_device()) return cudaErrorInvalidResourceHandle;
    const auto limit = runtime().shared_limits.find(given.kernel);
    Launch launch = given;
    launch.asked = limit == runtime().shared_limits.end() ? 0 : limit->second;
    const Outcome checked = check_launch(launch);
    if (checked.error != cudaSuccess) {
      runtime().report = checked.report;
      return checked.error;
    }
    if (++runtime().launches == options().fault) {
      lose(stream->device, cudaErrorIllegalAddress);
      return cudaSuccess;
    }
    if (tracing()) {
      trace(launch);
      return cudaSuccess;
    }
    return runs_at_once(stream) ? settle(stream->device, run_grid(launch)) : submit(stream, launch_operation(launch));
  });
}

}  // namespace castor::emulator

using namespace castor::emulator;

// ---- streams -----------------------------------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *handle, unsigned flags) {
  return call([&] {
    if (options().occupied >= options().memory) return cudaErrorMemoryAllocation;
    *handle = new CUstream_st(current_device(), flags != cudaStreamNonBlocking);
    runtime().streams.insert(*handle);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamCreate(cudaStream_t *handle) { return cudaStreamCreateWithFlags(handle, cudaStreamDefault); }
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call([&] {
    CUstream_st *const stream = stream_of(handle);
    const cudaError_t error = forbid_in_capture(stream);
    return error != cudaSuccess ? error : run_until(stream->device, [=] { return is_idle(*stream); });
  });
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call([&] {
    const cudaError_t error = run_until(handle->device, [=] { return is_idle(*handle); });
    runtime().streams.erase(handle);
    delete handle;
    return error;
  });
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call([&] {
    CUstream_st *const stream = stream_of(handle);
    if (const cudaError_t error = forbid_in_capture(stream)) return error;
    step();
    return is_idle(*stream) ? cudaSuccess : cudaErrorNotReady;
  });
}
cudaError_t cudaDeviceSynchronize() {
  return call([&] {
    const cudaError_t error = forbid_unsafe();
    return error != cudaSuccess ? error : drain([](const CUstream_st &stream) { return stream.device == current_device(); });
  });
}
cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void *data) {
  return call([&] {
    return submit(stream_of(handle), {Operation::host_function, [=] {
                                        function(data);
                                        return Outcome{cudaSuccess, {}};
                                      }, nullptr});
  });
}

// The device whose work the event stands for.
static int device_of(const CUevent_st *event) { return event->recorder ? event->recorder->device : current_device(); }

// ---- events ------------------------------------------------------------------------------------------------------------

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) {
  return call([&] {
    *event = new CUevent_st;
    return cudaSuccess;
  });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call([&] {
    delete event;
    return cudaSuccess;
  });
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  return call([&] {
    CUstream_st *const stream = stream_of(handle);
    event->capture = stream->capture;
    event->recorder = stream;
    if (stream->capture) return cudaSuccess;
    // The new record gets a state of its own, so that a stream that waits for an earlier record still waits for that one.
    event->state = std::make_shared<EventState>();
    return submit(stream, {Operation::record, nullptr, event->state, ++event->state->recorded});
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  return call([&] {
    CUstream_st *const stream = stream_of(handle);
    if (event->capture) return join_capture(stream, event);
    if (stream->capture) return cudaErrorIllegalState;
    return submit(stream, {Operation::wait, nullptr, event->state, event->state->recorded});
  });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call([&] {
    if (event->capture) return cudaErrorCapturedEvent;
    if (const cudaError_t lost = lost_on(device_of(event))) return lost;
    if (event->state->done < event->state->recorded) step();
    return event->state->done >= event->state->recorded ? cudaSuccess : cudaErrorNotReady;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call([&] {
    if (event->capture) return cudaErrorCapturedEvent;
    if (options().sleepless && event->state->done < event->state->recorded) {
      runtime().report = "a thread sleeps until an event";
      return cudaErrorNotReady;
    }
    return run_until(device_of(event), [state = event->state, number = event->state->recorded] { return state->done >= number; });
  });
}
