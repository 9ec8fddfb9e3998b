#include "device.h"
#include "../cpu/backend.h"

namespace castor {

Device &find_device(int32_t id) {
  if (id == CASTOR_CPU) return cpu_device();
  if ((id & 255) == CASTOR_CUDA) fail(CASTOR_DEVICE, "this build of the library has no CUDA backend");
  fail(CASTOR_DEVICE, "there is no device %d", id);
}

}  // namespace castor
