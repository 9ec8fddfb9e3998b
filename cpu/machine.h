// What the machine lets this process use: a container's limits count as the machine's.
#pragma once
#include <cstdint>
#include <string>

namespace castor {

int usable_cpus();
std::string cpu_name();
int64_t memory_total();      // bytes
int64_t memory_available();  // bytes that can be had without swapping

}  // namespace castor
