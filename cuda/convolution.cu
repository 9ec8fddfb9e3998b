#include "../kernels/table.h"
#include "launch.h"

namespace castor::cuda {

void convolution(int, const View &, const View &, const View *, const View &, const Geometry &) { fail(CASTOR_INTERNAL, "convolution has no CUDA kernel yet"); }

}  // namespace castor::cuda
