// Runs a kernel, block after block.
#pragma once
#include "launch.h"

namespace castor::emulator {

struct Outcome { cudaError_t error; std::string report; };

// What CUDA says at once of a launch that no device could run. `allowed_shared`: what the kernel may ask for.
Outcome check_launch(const Launch &launch, size_t allowed_shared);
Outcome run_grid(const Launch &launch);

}  // namespace castor::emulator
