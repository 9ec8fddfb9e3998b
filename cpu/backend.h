// The CPU as a device.
#pragma once
#include "../abi/device.h"

namespace castor {

Device &cpu_device();

}  // namespace castor
