#include "../kernels/table.h"
#include "launch.h"

namespace castor::cuda {

void random(int, const View &, uint64_t, uint64_t, double, double) { fail(CASTOR_INTERNAL, "random has no CUDA kernel yet"); }
void dropout(const View &, const View &, double, uint64_t, uint64_t) { fail(CASTOR_INTERNAL, "dropout has no CUDA kernel yet"); }

}  // namespace castor::cuda
