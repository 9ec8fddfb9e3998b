#include "../kernels/table.h"
#include "launch.h"

namespace castor::cuda {

void multi_sgd(const View *, int, const Sgd &, const View *) { fail(CASTOR_INTERNAL, "multi_sgd has no CUDA kernel yet"); }
void multi_adam(const View *, int, const Adam &, const View *) { fail(CASTOR_INTERNAL, "multi_adam has no CUDA kernel yet"); }

}  // namespace castor::cuda
