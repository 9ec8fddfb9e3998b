// Launches without kernels: with CASTOR_EMULATOR_TRACE=FILE each launch is a line in that file, and no kernel runs. So a program of any
// size shows what it would launch. What it reads from the device has no meaning then.
#pragma once
#include "launch.h"

namespace castor::emulator {

bool tracing();
// Writes a line for a launch: its name, the blocks of the grid, the threads of a block, and the bytes of dynamic shared memory.
void trace(const Launch &launch);

}  // namespace castor::emulator
