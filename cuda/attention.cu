#include "../kernels/table.h"
#include "launch.h"

namespace castor::cuda {

void attention(const View &, const View &, const View &, const View *, const View &, const View &, double, bool) { fail(CASTOR_INTERNAL, "attention has no CUDA kernel yet"); }

}  // namespace castor::cuda
