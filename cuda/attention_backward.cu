#include "../kernels/table.h"
#include "launch.h"

namespace castor::cuda {

void attention_backward(const View &, const View &, const View &, const View &, const View *, const View &, const View &, const View &, const View &, const View &, double, bool) { fail(CASTOR_INTERNAL, "attention_backward has no CUDA kernel yet"); }

}  // namespace castor::cuda
