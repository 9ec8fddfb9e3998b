// The state behind the functions of the CUDA runtime: one lock, the errors, and the streams. A mistake in a kernel that only the emulator
// sees is returned once, by the launch or by the call that runs it. An error that a GPU reports (such as an illegal address) is kept: from
// then on every call on this GPU fails with it.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <string>
#include <vector>
#include "grid.h"
#include "options.h"
#include "random.h"

namespace castor::emulator {

struct EventState {
  uint64_t recorded = 0, done = 0;  // counters
};

struct Operation {
  enum Kind { work, host_function, record, wait };
  Kind kind;
  std::function<Outcome()> run;      // for work and host functions
  std::shared_ptr<EventState> event;  // for record and wait, with the record that it refers to
  uint64_t number = 0;
};

struct Capture;

struct Runtime {
  std::mutex mutex;
  std::condition_variable_any changed;  // notified when a host function, which runs without the lock, has returned
  std::map<int, cudaError_t> lost;      // devices that are lost, with the reason
  cudaError_t mistake = cudaSuccess;    // by a queued kernel, for the next call that waits
  std::string report;
  int64_t launches = 0, calls = 0;
  std::map<const void *, size_t> shared_limits;  // that were set for kernels
  std::set<std::pair<int, int>> peers;           // (a, b): device a may access the memory of device b
  std::set<CUstream_st *> streams;
  std::vector<Capture *> captures;
  Random random{options().seed};  // chooses the next stream
};

Runtime &runtime();

cudaError_t remember(cudaError_t error);  // for cudaGetLastError
cudaError_t lost_on(int device);          // cudaSuccess if the device is not lost
int current_device();
// An error of every call on the thread's current device. A thread must have chosen it where there are several: CUDA would give it the first
// one, and set up a context there.
cudaError_t forbidden_here();
// The body of a runtime function. It runs under the lock, unless the device is lost.
template <class Body> cudaError_t call(Body body) {
  std::lock_guard<std::mutex> lock(runtime().mutex);
  const cudaError_t error = forbidden_here();
  return remember(error != cudaSuccess ? error : body());
}

}  // namespace castor::emulator

struct CUevent_st {
  std::shared_ptr<castor::emulator::EventState> state = std::make_shared<castor::emulator::EventState>();
  castor::emulator::Capture *capture = nullptr;  // the capture in which it was last recorded, by this stream
  CUstream_st *recorder = nullptr;
};

struct CUstream_st {
  CUstream_st(int device, bool blocking) : device(device), blocking(blocking) {}

  const int device;
  const bool blocking;  // whether the legacy stream waits for it
  bool busy = false;    // running a host function
  std::deque<castor::emulator::Operation> queue;
  castor::emulator::Capture *capture = nullptr;
  bool unjoined = false;  // has captured work that the stream in which the capture began does not wait for
};

struct CUgraph_st {
  std::vector<castor::emulator::Operation> operations;  // in the order of the calls, which the dependencies allow
};

namespace castor::emulator {

struct Capture {
  CUgraph_st *graph;
  CUstream_st *origin;
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  bool valid = true;
};

CUstream_st *stream_of(cudaStream_t handle);
// Queues an operation in the order of the stream, or runs it at once where streams are eager.
cudaError_t submit(CUstream_st *stream, Operation operation);
// Runs queued work, of streams that are chosen at random, until this holds or the device is lost.
cudaError_t run_until(int device, const std::function<bool()> &reached);
cudaError_t drain(const std::function<bool(const CUstream_st &)> &which);
// Runs one operation of any stream if streams are lazy, so that a caller that only polls makes progress.
void step();
cudaError_t perform(int device, Operation &operation);

// Returns an error, and ends the capture, for a call that must not be made during one.
cudaError_t forbid_in_capture(CUstream_st *stream);  // of this stream
cudaError_t forbid_unsafe();                         // of any stream that the caller may disturb
// Called when the stream waits for an event of a capture, by which it becomes part of the capture.
cudaError_t join_capture(CUstream_st *stream, CUevent_st *event);

}  // namespace castor::emulator
