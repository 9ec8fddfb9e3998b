// castor_conformance_emulated and castor_conformance_cuda [GROUP ...] print one line for each wrapper of gpu.h, or for those of some
// groups: copies, tiles, warps, atomics, arithmetic. scripts/conformance.ts compares the lines with answers.txt, which the emulator has
// written. A GPU that a wrapper crashes answers nothing more in this process, so there each group has a process of its own.
#include "answers.h"

int main(int count, char **arguments) {
  const struct { const char *name; void (*run)(); } groups[] = {
      // All of attention's edges stand on the first: if it is wrong, that explains much.
      {"copies", conformance::copies}, {"tiles", conformance::tiles}, {"warps", conformance::warps},
      {"atomics", conformance::atomics}, {"arithmetic", conformance::arithmetic},
  };
  for (const auto &group : groups) {
    bool wanted = count == 1;
    for (int i = 1; i < count; i++) wanted |= std::strcmp(arguments[i], group.name) == 0;
    if (wanted) group.run();
  }
}
