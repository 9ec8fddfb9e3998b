#include "../kernels/table.h"
#include "launch.h"

namespace castor::cuda {

void unary(int, const View &, const View &, double, double) { fail(CASTOR_INTERNAL, "unary has no CUDA kernel yet"); }
void binary(int, const View &, const View &, const View &, double, double) { fail(CASTOR_INTERNAL, "binary has no CUDA kernel yet"); }
void compare(int, const View &, const View &, const View &) { fail(CASTOR_INTERNAL, "compare has no CUDA kernel yet"); }
void ternary(int, const View &, const View &, const View &, const View &, double) { fail(CASTOR_INTERNAL, "ternary has no CUDA kernel yet"); }

}  // namespace castor::cuda
