#pragma once
#include "../abi/device.h"

namespace castor {

Device &cuda_device(int ordinal);  // throws the reason if it cannot be used

}  // namespace castor
