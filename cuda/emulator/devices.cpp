#include <cuda_runtime_api.h>
#include <algorithm>
#include <cstdio>
#include "ready.h"
#include "runtime.h"
#include "shared.h"

namespace castor::emulator {
namespace {

thread_local int device = 0;
thread_local bool chosen = false;

bool breaks() { return options().broken > 0 && ++runtime().calls >= options().broken; }

// Checks the version of the driver when it is first needed, as the CUDA runtime does.
cudaError_t check_driver() {
  if (breaks()) return cudaErrorUnknown;
  if (options().driver / 1000 < CUDART_VERSION / 1000) return cudaErrorInsufficientDriver;
  return options().devices == 0 ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t check_device(int number) {
  const cudaError_t error = check_driver();
  return error != cudaSuccess ? error : number < 0 || number >= options().devices ? cudaErrorInvalidDevice : cudaSuccess;
}

// Attributes of the device. Where it matters they are those of an H100.
struct Attribute { cudaDeviceAttr attribute; int value; };
constexpr int MULTIPROCESSORS = 132, REGISTERS = 65536, THREADS_PER_MULTIPROCESSOR = 2048, CACHE = 50 << 20;

int value_of(cudaDeviceAttr attribute) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: return MAX_THREADS;
    case cudaDevAttrMaxSharedMemoryPerBlock: return int(Shared::STATIC_LIMIT);
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return int(Shared::limit());
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return int(Shared::limit()) + 1024;
    case cudaDevAttrMultiProcessorCount: return MULTIPROCESSORS;
    case cudaDevAttrMaxThreadsPerMultiProcessor: return THREADS_PER_MULTIPROCESSOR;
    case cudaDevAttrMaxRegistersPerBlock: return REGISTERS;
    case cudaDevAttrWarpSize: return 32;
    case cudaDevAttrL2CacheSize: return CACHE;
    case cudaDevAttrComputeCapabilityMajor: return options().architecture / 10;
    case cudaDevAttrComputeCapabilityMinor: return options().architecture % 10;
    default: return 0;
  }
}

}  // namespace

int current_device() { return device; }

cudaError_t forbidden_here() {
  if (breaks()) return cudaErrorUnknown;
  if (options().devices > 1 && !chosen) {
    runtime().report = "a thread that has not chosen a device would use the first one";
    return cudaErrorInvalidDevice;
  }
  return lost_on(device);
}

}  // namespace castor::emulator

using namespace castor::emulator;

cudaError_t cudaDriverGetVersion(int *version) {
  *version = options().driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

// Does not change count when it fails.
cudaError_t cudaGetDeviceCount(int *count) {
  const cudaError_t error = check_driver();
  if (error == cudaSuccess) *count = options().devices;
  return remember(error);
}
cudaError_t cudaGetDevice(int *number) {
  *number = device;
  return remember(check_driver());
}
cudaError_t cudaSetDevice(int number) {
  std::lock_guard<std::mutex> lock(runtime().mutex);
  const cudaError_t error = check_device(number);
  if (error == cudaSuccess) device = number, chosen = true;
  return remember(error);
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int from, int to) {
  const cudaError_t error = check_device(from) != cudaSuccess ? cudaErrorInvalidDevice : check_device(to);
  if (error == cudaSuccess) *can = from != to && options().peers;
  return remember(error);
}
cudaError_t cudaDeviceEnablePeerAccess(int to, unsigned) {
  return call([&] {
    if (const cudaError_t error = check_device(to)) return error;
    if (to == device || !options().peers) return cudaErrorPeerAccessUnsupported;
    return runtime().peers.insert({device, to}).second ? cudaSuccess : cudaErrorPeerAccessAlreadyEnabled;
  });
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int number) {
  const cudaError_t error = check_device(number);
  if (error == cudaSuccess) *value = value_of(attribute);
  return remember(error);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int number) {
  const cudaError_t error = check_device(number);
  if (error != cudaSuccess) return remember(error);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulator on the CPU");
  properties->totalGlobalMem = size_t(options().memory);
  properties->sharedMemPerBlock = Shared::STATIC_LIMIT;
  properties->sharedMemPerBlockOptin = Shared::limit();
  properties->sharedMemPerMultiprocessor = Shared::limit() + 1024;
  properties->regsPerBlock = properties->regsPerMultiprocessor = REGISTERS;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = MAX_THREADS;
  properties->maxThreadsPerMultiProcessor = THREADS_PER_MULTIPROCESSOR;
  properties->multiProcessorCount = MULTIPROCESSORS;
  properties->l2CacheSize = CACHE;
  properties->major = options().architecture / 10;
  properties->minor = options().architecture % 10;
  properties->unifiedAddressing = properties->canMapHostMemory = 1;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value) {
  return call([&] {
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || size_t(value) > Shared::limit()) return cudaErrorInvalidValue;
    runtime().shared_limits[kernel] = size_t(value);
    return cudaSuccess;
  });
}
