#include "../kernels/table.h"
#include "launch.h"

namespace castor::cuda {

void pool(int, const View &, const View &, const View *, const Window &) { fail(CASTOR_INTERNAL, "pool has no CUDA kernel yet"); }
void pool_backward(int, const View &, const View *, const View &, const Window &) { fail(CASTOR_INTERNAL, "pool_backward has no CUDA kernel yet"); }

}  // namespace castor::cuda
