#include "../kernels/table.h"
#include "launch.h"

namespace castor::cuda {

void gather(int, const View &, const View &, const View &, int) { fail(CASTOR_INTERNAL, "gather has no CUDA kernel yet"); }

}  // namespace castor::cuda
