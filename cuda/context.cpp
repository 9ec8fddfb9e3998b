#include "context.h"
#include <cstdlib>
#include <mutex>
#include <string>
#include "backend.h"
#include "launch.h"

namespace castor::cuda {

extern const Backend backend;

void check(cudaError_t error, const char *what) {
  if (error == cudaSuccess) return;
#if defined(CASTOR_EMULATOR)
  const std::string more = emulator::take_report();
  if (!more.empty()) fail(CASTOR_INTERNAL, "%s: %s", what, more.c_str());
#endif
  fail(CASTOR_INTERNAL, "%s: %s", what, cudaGetErrorString(error));
}

int block_threads(int preferred) {
  static const char *text = std::getenv("CASTOR_CUDA_THREADS");
  static const int forced = text ? std::atoi(text) / 32 * 32 : 0;
  return forced >= 32 && forced <= 1024 ? forced : preferred;
}

namespace {

Context &context(int ordinal) {
  static Context one{CASTOR_CUDA, 0, 90, 132, 227 * 1024, nullptr, new Fault{}};
  (void)ordinal;
  return one;
}

void check_fault(Context &c) {
  if (c.fault->site == 0) return;
  const Fault found = *c.fault;
  c.fault->site = 0;
  const char *names[] = {"", "gather", "scatter", "cross_entropy", "pool_backward"};
  fail(CASTOR_INDEX, "an earlier %s met index %lld on an axis of size %lld", names[found.site], (long long)found.value, (long long)found.size);
}

}  // namespace

Context &context_of(const View &view) { return context(view.device >> 8); }

void *Context::allocate(int64_t bytes) {
  void *data = nullptr;
  return cudaMalloc(&data, size_t(bytes) + 1) == cudaSuccess ? data : nullptr;
}
void Context::release(void *data, int64_t) { cudaFree(data); }

Scratch::Scratch(Context &context, int64_t bytes) : context_(context), bytes_(bytes), data_(bytes > 0 ? context.allocate(bytes) : nullptr) {
  if (bytes > 0 && !data_) fail(CASTOR_OUT_OF_MEMORY, "wanted %lld bytes of scratch memory", (long long)bytes);
}

}  // namespace castor::cuda

namespace castor {

Device &cuda_device(int ordinal) {
  using namespace cuda;
  if (ordinal != 0) fail(CASTOR_DEVICE, "there is one CUDA device");
  static Device device{CASTOR_CUDA, backend,
    [](int64_t bytes) { return context(0).allocate(bytes); },
    [](void *data, int64_t bytes) { context(0).release(data, bytes); },
    [] {}, [] { return int64_t(0); }, [] { return int64_t(1) << 33; }, [] { return int64_t(1) << 33; },
    [](void *to, const void *host, int64_t bytes) { check(cudaMemcpy(to, host, size_t(bytes), cudaMemcpyHostToDevice), "write"); },
    [](const void *from, void *host, int64_t bytes) { check(cudaMemcpy(host, from, size_t(bytes), cudaMemcpyDeviceToHost), "read"); check_fault(context(0)); },
    [] { check(cudaDeviceSynchronize(), "synchronize"); check_fault(context(0)); },
    [] { return std::string("{\"available\":true,\"name\":\"emulator\",\"emulated\":true}"); }};
  return device;
}

}  // namespace castor
