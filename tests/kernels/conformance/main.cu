// castor_conformance_emulated and castor_conformance_cuda print one line for each wrapper of gpu.h. scripts/conformance.ts compares the
// lines with answers.txt, which the emulator has written.
#include "answers.h"

int main() {
  conformance::tiles();
  conformance::warps();
  conformance::atomics();
  conformance::arithmetic();
}
