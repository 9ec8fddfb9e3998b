// The devices and streams of each thread, and the translation of CUDA errors.
#include "context.h"
#include <cstdlib>
#include "../abi/capture.h"
#include "../abi/storage.h"
#include "backend.h"
#include "device.h"
#include "launch.h"
#include "stream.h"

namespace castor::cuda {
namespace {

constexpr int GPUS = 64;
std::atomic<Gpu *> gpus[GPUS];  // created at first use, never destroyed
std::mutex making;

// The device and the stream of this thread's CUDA calls.
thread_local struct { int ordinal; Stream *stream; } here{-1, nullptr};
// Set at the end of the thread, when it has given its streams back. What it frees after that must not give it another stream.
thread_local bool ended = false;
// The streams of this thread, by device. When the thread ends, they and the memory that they keep go to later threads. It is on the heap,
// because a library that is loaded late has little room for thread-local variables.
struct Mine {
  std::unique_ptr<Stream *[]> streams;
  Stream *&operator[](int ordinal) {
    if (!streams) streams = std::make_unique<Stream *[]>(GPUS);
    return streams[size_t(ordinal)];
  }
  ~Mine() {
    for (int i = 0; streams && i < GPUS; i++) {
      if (streams[size_t(i)]) streams[size_t(i)]->context.gpu.leave(*streams[size_t(i)]);
    }
    streams = nullptr;
    here = {-1, nullptr};
    ended = true;
  }
};
thread_local Mine mine;

Gpu &gpu_of(int ordinal) {
  if (ordinal >= GPUS) fail(CASTOR_DEVICE, "there is no CUDA device %d", ordinal);
  if (Gpu *made = gpus[ordinal].load(std::memory_order_acquire)) return *made;
  std::lock_guard<std::mutex> lock(making);
  if (!gpus[ordinal].load()) {
    here.ordinal = -1;  // the constructor changes the current device
    gpus[ordinal].store(new Gpu(ordinal), std::memory_order_release);
  }
  return *gpus[ordinal].load();
}

// Errors after which CUDA refuses every call in this process.
bool loses_device(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorUnknown: return true;
    default: return false;
  }
}

}  // namespace

void fail_cuda(Gpu &gpu, cudaError_t error, const char *what) {
  cudaGetLastError();
  std::string report = cudaGetErrorString(error);
#if defined(CASTOR_EMULATOR)
  const std::string found = emulator::take_report();
  if (!found.empty()) report += ": " + found;
#endif
  if (loses_device(error)) gpu.lose(report + ", seen by " + what);
  if (error == cudaErrorMemoryAllocation) fail(CASTOR_OUT_OF_MEMORY, "%s: the GPU has no memory left", what);
  fail(CASTOR_INTERNAL, "%s: %s", what, report.c_str());
}

int block_threads(int preferred) {
  static const char *text = std::getenv("CASTOR_CUDA_THREADS");
  static const int forced = text ? std::atoi(text) / 32 * 32 : 0;
  return forced >= 32 && forced <= 1024 ? forced : preferred;
}

const char *name_of(Site site) {
#define CASTOR_NAME(name) #name,
  constexpr const char *names[] = {CASTOR_SITES(CASTOR_NAME)};
#undef CASTOR_NAME
  return names[int(site)];
}

void Gpu::make_current() {
  const int ordinal = id >> 8;
  if (here.ordinal == ordinal) return;
  here.ordinal = -1;  // until all of it has succeeded
  check(*this, cudaSetDevice(ordinal), "cudaSetDevice");
  here = {ordinal, ended ? streams_[0].load() : own_stream(mine[ordinal])};
}

Stream *Gpu::own_stream(Stream *&own) {
  if (!own) own = &join();
  return own;
}

void Gpu::attend() {
  if (here.ordinal < 0) check(*this, cudaSetDevice(id >> 8), "cudaSetDevice");
}

Stream &Gpu::stream() {
  make_current();
  return *here.stream;
}

Context &context_of(const View &view) {
  Gpu &gpu = *gpus[view.device >> 8].load(std::memory_order_acquire);
  gpu.make_current();
  return captures.load(std::memory_order_relaxed) == 0 ? here.stream->context : gpu.context_now();
}

// Memory of a graph is marked in the order of the stream that will run the graph.
Memory Context::allocate(int64_t bytes) {
  Memory memory = pool->allocate(bytes + GUARD);
  if (!memory.data) {
    gpu.release_cached();  // of other threads and of graphs, too
    memory = pool->allocate(bytes + GUARD);
  }
  if (memory.data) mark_new(gpu.stream().context, memory.data, bytes);
  return memory;
}

void Context::release(Memory memory) { gpu.release(memory, 0); }
void Context::launched(const char *name) { gpu.launched(name); }
void Context::allow_shared(const void *kernel, int64_t bytes, const char *name) { gpu.allow_shared(kernel, bytes, name); }

void Gpu::allow_shared(const void *kernel, int64_t bytes, const char *name) {
  std::lock_guard<std::mutex> lock(mutex_);
  int64_t &allowed = allowed_shared_[kernel];
  if (bytes <= allowed) return;
  check(*this, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)), name);
  allowed = bytes;
}

Scratch::Scratch(Context &context, int64_t bytes) : context_(context), memory_{nullptr, nullptr} {
  if (bytes == 0) return;
  memory_ = context.allocate(bytes);
  if (!memory_.data) fail_out_of_memory(context.gpu, bytes, "wanted for scratch");
}

}  // namespace castor::cuda

namespace castor {

Device &cuda_device(int ordinal) { return cuda::gpu_of(ordinal); }

}  // namespace castor
