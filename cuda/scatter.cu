#include "../kernels/table.h"
#include "launch.h"

namespace castor::cuda {

void scatter(int, const View &, const View &, const View &, int) { fail(CASTOR_INTERNAL, "scatter has no CUDA kernel yet"); }

}  // namespace castor::cuda
