// castor_conformance_emulated and castor_conformance_cuda: print one line for each wrapper of gpu.h. scripts/conformance.ts compares two
// outputs, or one with tests/kernels/conformance/answers.txt.
#include "answers.h"

int main() {
  conformance::tiles();
  conformance::warps();
  conformance::atomics();
  conformance::arithmetic();
}
