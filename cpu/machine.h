// The memory and processors that this process may use. The limits of a container count like those of the machine.
#pragma once
#include <cstdint>
#include <string>

namespace castor {

int usable_cpus();
std::string cpu_name();
int64_t memory_total();      // bytes
bool memory_limited();       // does a container limit it to less than the machine has?
int64_t memory_available();  // bytes that can be allocated without swapping

}  // namespace castor
