// The emulator's report of a kernel that does something that is not allowed on a GPU.
#pragma once
#include <driver_types.h>
#include <source_location>
#include <string>

namespace castor::emulator {

using Place = std::source_location;
std::string to_string(const Place &place);
inline bool same(const Place &a, const Place &b) { return a.line() == b.line() && a.column() == b.column(); }

// Ends the launch. The message begins with the name of the kernel and the thread. cudaErrorLaunchFailure stands for a mistake that only the
// emulator can see; other errors are those that a GPU would report.
[[noreturn]] void fail(const std::string &text, cudaError_t error = cudaErrorLaunchFailure);

}  // namespace castor::emulator
