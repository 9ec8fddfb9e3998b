#include "../kernels/table.h"
#include "launch.h"

namespace castor::cuda {

void multi_unscale(const View *, int, const View &, const View &) { fail(CASTOR_INTERNAL, "multi_unscale has no CUDA kernel yet"); }
void multi_norm(const View *, int, const View &, double) { fail(CASTOR_INTERNAL, "multi_norm has no CUDA kernel yet"); }
void multi_scale(const View *, int, const View &) { fail(CASTOR_INTERNAL, "multi_scale has no CUDA kernel yet"); }
void update_scale(const View &, const View &, const View &, const ScaleRule &) { fail(CASTOR_INTERNAL, "update_scale has no CUDA kernel yet"); }

}  // namespace castor::cuda
