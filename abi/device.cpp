// Finds a device by the number that the caller passes.
#include "device.h"
#include "../cpu/backend.h"
#if defined(CASTOR_WITH_CUDA)
#include "../cuda/backend.h"
#endif

namespace castor {

Device &find_device(int32_t id) {
  if (id == CASTOR_CPU) return cpu_device();
#if defined(CASTOR_WITH_CUDA)
  if (id > 0 && (id & 255) == CASTOR_CUDA) return cuda_device(id >> 8);
#else
  if ((id & 255) == CASTOR_CUDA) fail(CASTOR_DEVICE, "this build of the library has no CUDA backend");
#endif
  fail(CASTOR_DEVICE, "there is no device %d", id);
}

}  // namespace castor
