// The instruction sets that the CPU kernels are compiled for.
#pragma once
#include "../abi/backend.h"

namespace castor {

struct Isa {
  const char *name;
  Backend kernels;
  const char *float32, *float16, *bfloat16;  // how products of the dtype are computed, in words
  int panel;                                 // the columns of a panel of packed weights
  bool model;                                // whether the unit that computes them is a model, for tests
};

// The instruction set whose kernels run: the one that the environment variable CASTOR_ISA names, if the machine has it, else the fastest.
const Isa &isa();

}  // namespace castor
