#include <cuda_runtime_api.h>
#include "runtime.h"

namespace castor::emulator {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

struct Name { cudaError_t error; const char *name, *text; };
#define EMULATOR_ERROR(error, text) {error, #error, text}
constexpr Name names[] = {
  EMULATOR_ERROR(cudaSuccess, "no error"),
  EMULATOR_ERROR(cudaErrorInvalidValue, "invalid argument"),
  EMULATOR_ERROR(cudaErrorMemoryAllocation, "out of memory"),
  EMULATOR_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
  EMULATOR_ERROR(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"),
  EMULATOR_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
  EMULATOR_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
  EMULATOR_ERROR(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled"),
  EMULATOR_ERROR(cudaErrorPeerAccessUnsupported, "peer access is not supported between these two devices"),
  EMULATOR_ERROR(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device"),
  EMULATOR_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
  EMULATOR_ERROR(cudaErrorNotReady, "device not ready"),
  EMULATOR_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
  EMULATOR_ERROR(cudaErrorMisalignedAddress, "misaligned address"),
  EMULATOR_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
  EMULATOR_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
  EMULATOR_ERROR(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
  EMULATOR_ERROR(cudaErrorStreamCaptureUnmatched, "the capture was not initiated in this stream"),
  EMULATOR_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
  EMULATOR_ERROR(cudaErrorStreamCaptureMerge, "operation would merge two captures"),
  EMULATOR_ERROR(cudaErrorStreamCaptureImplicit, "operation would make the legacy stream depend on a capturing blocking stream"),
  EMULATOR_ERROR(cudaErrorStreamCaptureWrongThread, "attempt to terminate a thread-local capture sequence from another thread"),
  EMULATOR_ERROR(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream"),
  EMULATOR_ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
  EMULATOR_ERROR(cudaErrorUnknown, "unknown error"),
};

const Name &find(cudaError_t error) {
  for (const Name &name : names) {
    if (name.error == error) return name;
  }
  return names[std::size(names) - 1];
}

}  // namespace

Runtime &runtime() {
  static Runtime &one = *new Runtime;  // never destroyed: other threads may run longer than main
  return one;
}

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

cudaError_t lost_on(int device) {
  const auto found = runtime().lost.find(device);
  return found == runtime().lost.end() ? cudaSuccess : found->second;
}

std::string take_report() {
  std::lock_guard<std::mutex> lock(runtime().mutex);
  return std::exchange(runtime().report, std::string());
}

}  // namespace castor::emulator

using namespace castor::emulator;

cudaError_t cudaGetLastError() {
  std::lock_guard<std::mutex> lock(runtime().mutex);
  return std::exchange(last_error, lost_on(current_device()));
}
cudaError_t cudaPeekAtLastError() { return last_error; }
const char *cudaGetErrorName(cudaError_t error) { return find(error).name; }
const char *cudaGetErrorString(cudaError_t error) { return find(error).text; }
