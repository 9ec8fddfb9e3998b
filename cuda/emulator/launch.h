// A kernel with its arguments, and how it gets into a stream.
#pragma once
#include <cuda_runtime.h>
#include <functional>
#include <memory>
#include <string>
#include <tuple>

namespace castor::emulator {

struct Launch {
  const char *name;
  const void *kernel;
  dim3 grid, block;
  size_t shared;           // dynamic shared memory in bytes
  void (*run)(const void *arguments);                            // as one thread
  std::shared_ptr<const void> (*keep)(const void *arguments);    // a copy that outlives the call
  const void *arguments;
};

cudaError_t launch(const Launch &launch, cudaStream_t stream);
// Anything else that must happen in the order of a stream.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

// What is wrong with the last launch that failed, once; empty for a fault that was asked for by FAULT.
std::string take_report();

template <class... P> struct Arguments {
  void (*kernel)(P...);
  std::tuple<P...> values;

  static void run(const void *arguments) {
    const auto *me = static_cast<const Arguments *>(arguments);
    std::apply(me->kernel, me->values);
  }
  static std::shared_ptr<const void> keep(const void *arguments) {
    return std::make_shared<const Arguments>(*static_cast<const Arguments *>(arguments));
  }
};

}  // namespace castor::emulator

namespace gpu {

template <class... P, class... A>
cudaError_t launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream, A &&...arguments) {
  using Call = castor::emulator::Arguments<P...>;
  const Call call{kernel, {static_cast<P>(arguments)...}};
  return castor::emulator::launch({name, reinterpret_cast<const void *>(kernel), grid, block, shared, Call::run, Call::keep, &call}, stream);
}

}  // namespace gpu
