// Runs a kernel, block after block.
#pragma once
#include "launch.h"

namespace castor::emulator {

struct Outcome { cudaError_t error; std::string report; };

// The error that CUDA returns at once for a launch that no device could run.
Outcome check_launch(const Launch &launch);
Outcome run_grid(const Launch &launch);

}  // namespace castor::emulator
