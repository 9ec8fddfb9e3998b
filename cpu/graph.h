// Graphs on the CPU: a list of calls with copies of their arguments, which a replay repeats in order.
#pragma once
#include "../abi/capture.h"

namespace castor {

std::unique_ptr<Capture> begin_cpu_capture(Device &cpu, uint64_t seed, uint64_t offset);

}  // namespace castor
