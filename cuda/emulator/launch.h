// A kernel with its arguments, and its launch in a stream.
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
  size_t shared;           // bytes of dynamic shared memory
  void (*run)(const void *arguments);                            // runs one thread
  std::shared_ptr<const void> (*keep)(const void *arguments);    // a copy that lives longer than the call
  const void *arguments;
  size_t asked = 0;        // bytes of dynamic shared memory that the kernel was allowed by cudaFuncSetAttribute
};

cudaError_t launch(const Launch &launch, cudaStream_t stream);
// Queues any other work in the order of a stream.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

// The report of the last launch that failed, which is returned once. It is empty for a fault that was requested by FAULT.
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
  return castor::emulator::launch({name, reinterpret_cast<const void *>(kernel), grid, block, shared, Call::run, Call::keep, &call},
                                  stream);
}

}  // namespace gpu
