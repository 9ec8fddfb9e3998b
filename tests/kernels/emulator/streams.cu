// Streams, events and threads of the host.
#include <atomic>
#include <thread>
#include "../../../cuda/emulator/options.h"
#include "bug.h"

namespace tests {
namespace {

using castor::emulator::options;

constexpr int ROUNDS = 20;  // for behaviour that is random

__global__ void set_kernel(int *to, int value) { *to = value; }
__global__ void copy_kernel(int *to, const int *from) { *to = *from; }
__global__ void add_kernel(int *to, int value) { *to += value; }

struct Stream {
  Stream() { cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking); }
  ~Stream() { cudaStreamDestroy(handle); }
  cudaStream_t handle;
};
struct Event {
  Event() { cudaEventCreateWithFlags(&handle, cudaEventDisableTiming); }
  ~Event() { cudaEventDestroy(handle); }
  cudaEvent_t handle;
};
template <class... P, class... A> cudaError_t run_on(const Stream &stream, void (*kernel)(P...), A &&...arguments) {
  return gpu::launch("test", kernel, dim3(1), dim3(1), 0, stream.handle, std::forward<A>(arguments)...);
}
template <class T> struct Pinned {
  Pinned() { cudaHostAlloc(reinterpret_cast<void **>(&data), sizeof(T), cudaHostAllocDefault); }
  ~Pinned() { cudaFreeHost(data); }
  T *data;
};

const Bug forgotten_wait("a stream that does not wait for another", {WRONG, WRONG, WRONG}, [](bool bug) {
  options().lazy = true;
  const Buffer<int> value(1), seen(1);
  const Stream writer, reader;
  const Event written;
  bool right = true;
  for (int round = 1; round <= ROUNDS; round++) {
    run_on(writer, set_kernel, value.data(), round);
    cudaEventRecord(written.handle, writer.handle);
    if (!bug) cudaStreamWaitEvent(reader.handle, written.handle, 0);
    run_on(reader, copy_kernel, seen.data(), value.data());
    cudaDeviceSynchronize();
    right &= seen.read()[0] == round;
  }
  return right;
});

const Bug early_reuse("page-locked memory that is used again before its copy", {WRONG, WRONG, WRONG}, [](bool bug) {
  options().lazy = true;
  const Buffer<int> to(1);
  const Pinned<int> from;
  const Stream stream;
  *from.data = 1;
  cudaMemcpyAsync(to.data(), from.data, sizeof(int), cudaMemcpyHostToDevice, stream.handle);
  if (!bug) cudaStreamSynchronize(stream.handle);
  *from.data = 2;
  cudaStreamSynchronize(stream.handle);
  return to.read()[0] == 1;
});

const Bug early_read("a result that is read before its stream is waited for", {WRONG, WRONG, WRONG}, [](bool bug) {
  options().lazy = true;
  const Buffer<int> value(1);
  const Stream stream;
  run_on(stream, set_kernel, value.data(), 5);
  if (!bug) cudaStreamSynchronize(stream.handle);
  return value.read()[0] == 5;
});

const Works ordinary_memory("ordinary memory may be used again at once", [] {
  options().lazy = true;
  const Buffer<int> to(1);
  const Stream stream;
  int from = 1, back = 0;
  cudaMemcpyAsync(to.data(), &from, sizeof(int), cudaMemcpyHostToDevice, stream.handle);
  from = 2;
  cudaMemcpyAsync(&back, to.data(), sizeof(int), cudaMemcpyDeviceToHost, stream.handle);
  return back == 1;
});

const Works asking("asking for an event makes progress", [] {
  options().lazy = true;
  const Buffer<int> value(1);
  const Stream stream;
  const Event done;
  for (int i = 0; i < 5; i++) run_on(stream, add_kernel, value.data(), 1);
  cudaEventRecord(done.handle, stream.handle);
  if (cudaEventQuery(done.handle) != cudaErrorNotReady || cudaGetLastError() != cudaSuccess) return false;
  int asked = 0;
  while (cudaEventQuery(done.handle) == cudaErrorNotReady) asked++;
  return asked > 0 && asked < 10 && value.read()[0] == 5;
});

// One thread launches, another waits for events, as the library's notifier does.
bool two_threads(bool lazy) {
  options().lazy = lazy;
  const Buffer<int> value(1);
  const Stream stream;
  const Event done;
  std::atomic<bool> ended{false};
  std::thread waiter([&] {
    while (!ended) cudaEventSynchronize(done.handle);
  });
  for (int i = 0; i < 200; i++) {
    run_on(stream, add_kernel, value.data(), 1);
    cudaEventRecord(done.handle, stream.handle);
  }
  ended = true;
  waiter.join();
  cudaStreamSynchronize(stream.handle);
  return value.read()[0] == 200;
}
const Works two_threads_eager("one thread launches while another waits", [] { return two_threads(false); });
const Works two_threads_lazy("the same with lazy streams", [] { return two_threads(true); });

const Works host_functions("a host function may wait for a thread that launches", [] {
  options().lazy = true;
  const Buffer<int> value(1);
  const Stream stream;
  std::atomic<int> launched{0};
  cudaLaunchHostFunc(stream.handle, [](void *data) {
    while (static_cast<std::atomic<int> *>(data)->load() == 0) std::this_thread::yield();
  }, &launched);
  std::thread other([&] {
    const Stream own;
    run_on(own, set_kernel, value.data(), 3);
    launched = 1;
  });
  const bool ran = cudaStreamSynchronize(stream.handle) == cudaSuccess;
  other.join();
  return ran && value.read()[0] == 3;
});

const Works blocking("the legacy stream waits for streams that are not told otherwise", [] {
  options().lazy = true;
  const Buffer<int> value(1);
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamDefault);
  gpu::launch("test", set_kernel, dim3(1), dim3(1), 0, stream, value.data(), 4);
  const bool seen = value.read()[0] == 4;
  cudaStreamDestroy(stream);
  return seen;
});

}  // namespace
}  // namespace tests
