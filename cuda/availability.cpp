// Finds out why a GPU cannot be used, and what the user can do about it.
#include <cstdlib>
#include <string>
#include "device.h"

namespace castor::cuda {
namespace {

struct Version { int major, minor; };
constexpr Version version_of(int number) { return {number / 1000, number % 1000 / 10}; }

constexpr Version NEEDED = version_of(CUDART_VERSION);
// The first driver that knows the major version of CUDA which this library is built with.
constexpr int FIRST_DRIVER = NEEDED.major == 13 ? 580 : NEEDED.major == 12 ? 525 : 0;

std::string first_driver(const char *before) {
  return FIRST_DRIVER ? std::string(before) + "version " + std::to_string(FIRST_DRIVER) + " or newer" : "";
}

[[noreturn]] void fail_driver(int driver) {
  const Version has = version_of(driver);
  fail(CASTOR_DEVICE, "the NVIDIA driver is too old: it knows CUDA %d.%d, this library needs %d.%d. Update the driver%s", has.major,
       has.minor, NEEDED.major, NEEDED.minor, first_driver(" to ").c_str());
}

[[noreturn]] void fail_no_device() {
  const char *visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible)
    fail(CASTOR_DEVICE, "the NVIDIA driver shows no GPU, and CUDA_VISIBLE_DEVICES is '%s'. Unset it, or name a GPU that nvidia-smi lists",
         visible);
  fail(CASTOR_DEVICE,
       "there is an NVIDIA driver but no GPU. nvidia-smi lists what it sees; a container must be started with access to the GPU");
}

}  // namespace

void expect_gpu(int ordinal) {
  int driver = 0, count = 0;
  cudaDriverGetVersion(&driver);
  if (driver == 0)
    fail(CASTOR_DEVICE, "no NVIDIA driver is installed on this machine. A GPU needs one that knows CUDA %d.%d%s", NEEDED.major,
         NEEDED.minor, first_driver(": ").c_str());
  const cudaError_t error = cudaGetDeviceCount(&count);  // does not change count when it fails
  cudaGetLastError();
  if (error == cudaErrorInsufficientDriver) fail_driver(driver);
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) fail_no_device();
  if (error != cudaSuccess) fail(CASTOR_DEVICE, "CUDA cannot be used: %s", cudaGetErrorString(error));
  if (ordinal >= count)
    fail(CASTOR_DEVICE, "there %s %d CUDA device%s, cuda:0%s", count == 1 ? "is" : "are", count, count == 1 ? "" : "s",
         count == 1 ? "" : (" to cuda:" + std::to_string(count - 1)).c_str());
}

void fail_setup(int ordinal, const cudaDeviceProp *properties, cudaError_t error) {
  cudaGetLastError();
  const char *name = properties ? properties->name : "GPU";
  switch (error) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidPtx:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
      fail(CASTOR_DEVICE,
           "this library has no code for cuda:%d (%s, sm_%d%d), only for %s. Build it on this machine with npm run build:cuda, or set "
           "CASTOR_CUDA_ARCH=%d%d for the build",
           ordinal, name, properties ? properties->major : 0, properties ? properties->minor : 0, architectures().c_str(),
           properties ? properties->major : 0, properties ? properties->minor : 0);
    case cudaErrorMemoryAllocation:
      fail(CASTOR_DEVICE, "the memory of cuda:%d (%s) is full: nothing is left to start with. nvidia-smi lists the processes that use it; "
           "CUDA_VISIBLE_DEVICES chooses another GPU", ordinal, name);
    case cudaErrorDevicesUnavailable:
      fail(CASTOR_DEVICE,
           "cuda:%d (%s) is in use by another process that wants it alone (nvidia-smi -q -d COMPUTE shows the mode), or is out of "
           "order",
           ordinal, name);
    default: fail(CASTOR_DEVICE, "cuda:%d (%s) cannot be used: %s", ordinal, name, cudaGetErrorString(error));
  }
}

}  // namespace castor::cuda
