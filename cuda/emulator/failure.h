// What the emulator says of a kernel that does what a GPU would not forgive.
#pragma once
#include <driver_types.h>
#include <source_location>
#include <string>

namespace castor::emulator {

using Place = std::source_location;
std::string to_string(const Place &place);
inline bool same(const Place &a, const Place &b) { return a.line() == b.line() && a.column() == b.column(); }

// The launch ends here, with the kernel's name and the thread before the text. cudaErrorLaunchFailure: a mistake that only the emulator
// sees; others are what a GPU would report.
[[noreturn]] void fail(const std::string &text, cudaError_t error = cudaErrorLaunchFailure);

}  // namespace castor::emulator
