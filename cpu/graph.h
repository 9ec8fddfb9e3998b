// Graphs of the CPU: calls with copies of their arguments, made again in order.
#pragma once
#include "../abi/capture.h"

namespace castor {

std::unique_ptr<Capture> begin_cpu_capture(Device &cpu, uint64_t seed, uint64_t offset);

}  // namespace castor
