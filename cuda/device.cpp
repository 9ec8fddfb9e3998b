#include "device.h"
#include <cstring>
#include "../abi/error.h"
#include "../kernels/table.h"
#include "backend.h"
#include "cublas.h"
#include "launch.h"

namespace castor::cuda {

Gpu::Gpu(int ordinal) : Device(CASTOR_CUDA + 256 * ordinal, &backend), context{*this, 0, 0, 0, 0, 0, nullptr, nullptr, nullptr, nullptr} {
  expect_gpu(ordinal);
  const cudaDeviceProp *known = nullptr;
  const auto set_up = [&](cudaError_t error) { if (error != cudaSuccess) fail_setup(ordinal, known, error); };
  set_up(cudaGetDeviceProperties(&properties_, ordinal));
  known = &properties_;
  set_up(cudaSetDevice(ordinal));
  set_up(cudaStreamCreateWithFlags(&context.stream, cudaStreamNonBlocking));
  set_up(cudaHostAlloc(reinterpret_cast<void **>(&context.fault), sizeof(Fault), cudaHostAllocMapped));
  *context.fault = {};
  set_up(probe(context.stream));
  set_up(cudaStreamSynchronize(context.stream));

  context.id = id;
  context.ordinal = ordinal;
  context.architecture = properties_.major * 10 + properties_.minor;
  context.multiprocessors = properties_.multiProcessorCount;
  context.shared_limit = int64_t(properties_.sharedMemPerBlockOptin);
  segments_ = std::make_unique<Segments>(*this);
  context.pool = new MemoryPool(*segments_);
  pinned_ = new MemoryPool(pinned_source_);
  staging_ = std::make_unique<Staging>(*this, *pinned_);
}

// ---- memory ----------------------------------------------------------------------------------------------------

Memory Gpu::allocate(int64_t bytes) { return context.allocate(bytes); }

void Gpu::release(Memory memory, int64_t) {
  if (context.pool->made(memory.block)) mark_free(context, memory.data, memory.block->bytes);
  MemoryPool::release(memory.block);
}

void Gpu::release_cached() {
  context.pool->release_cached();
  pinned_->release_cached();
}

int64_t Gpu::cached_bytes() { return context.pool->cached(); }

// ---- transfers -------------------------------------------------------------------------------------------------

void Gpu::write(void *to, const void *host, int64_t bytes) {
  make_current();
  staging_->write(to, host, bytes);
}

void Gpu::read(const void *from, void *host, int64_t bytes) {
  make_current();
  read_now(*this, *pinned_, from, host, bytes);
}

void Gpu::send(const void *from, Device &target, void *to, int64_t bytes) {
  if (target.id == CASTOR_CPU) return read(from, to, bytes);
  copy_between(*this, from, static_cast<Gpu &>(target), to, bytes);
}

std::shared_ptr<Reading> Gpu::start_read(const void *from, int64_t bytes) {
  make_current();
  return std::make_shared<Arrival>(*this, *pinned_, from, bytes);
}

void Gpu::synchronize() {
  if (lost()) fail_lost();
  make_current();
  check(cudaStreamSynchronize(context.stream), "synchronize");
  check_fault();
}

// ---- what went wrong -------------------------------------------------------------------------------------------

void Gpu::check_fault() {
  if (context.fault->site == int32_t(Site::none)) return;
  std::lock_guard<std::mutex> lock(mutex_);
  const Fault found = *context.fault;
  if (found.site == int32_t(Site::none)) return;
  context.fault->site = int32_t(Site::none);
  fail(CASTOR_INDEX, "an earlier %s met index %lld on an axis of size %lld", name_of(Site(found.site)), (long long)found.value,
       (long long)found.size);
}

void Gpu::launched(const char *name) {
  const uint32_t n = launches_.load(std::memory_order_relaxed);
  launch_names_[n % REMEMBERED].store(name, std::memory_order_relaxed);
  launches_.store(n + 1, std::memory_order_relaxed);
}

// Threads that launch at once may lose an entry: it is a hint.
std::string Gpu::last_launches() {
  std::string names;
  const uint32_t end = launches_;
  for (uint32_t n = end - std::min(end, REMEMBERED); n != end; n++) names += (names.empty() ? "" : ", ") + std::string(launch_names_[n % REMEMBERED]);
  return names.empty() ? "nothing" : names;
}

void Gpu::lose(const std::string &what_happened) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!lost()) loss_ = what_happened + "; launched before that, the latest last: " + last_launches();
    kernels = nullptr;
  }
  fail_lost();
}

void Gpu::fail_lost() {
  std::lock_guard<std::mutex> lock(mutex_);
  fail(CASTOR_LOST, "device cuda:%d is lost: %s", context.ordinal, loss_.c_str());
}

// ---- devices ---------------------------------------------------------------------------------------------------

std::string Gpu::describe() {
  if (lost()) fail_lost();
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const auto version = [](int v) { return quoted(std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10)); };
  return "{\"available\":true,\"name\":" + quoted(properties_.name) + ",\"architecture\":" + std::to_string(context.architecture) +
         ",\"memory\":" + std::to_string(memory_total()) + ",\"multiprocessors\":" + std::to_string(context.multiprocessors) +
         ",\"driver\":" + version(driver) + ",\"runtime\":" + version(runtime) + ",\"streams\":1,\"matmul\":" +
         quoted(matmul_backend()) +
#if defined(CASTOR_EMULATOR)
         ",\"emulated\":true" +
#endif
         "}";
}

}  // namespace castor::cuda
