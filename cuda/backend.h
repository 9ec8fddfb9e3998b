#pragma once
#include "../abi/device.h"

namespace castor {

Device &cuda_device(int ordinal);  // throws why there is none

}  // namespace castor
