// Instruction sets that add units for matrix products to another one: only the kernels that compute products are compiled for them.
#pragma once
#include "../abi/backend.h"

namespace castor {

struct Products {
  decltype(Backend::matmul) matmul;
  decltype(Backend::convolution) convolution;
  decltype(Backend::attention) attention;
  decltype(Backend::attention_backward) attention_backward;
  bool (*supported)();  // by the processor and by the system
  bool (*faster)();     // whether the unit is faster than the multiply-add instructions of float32 on this processor
  bool model;           // whether the unit is a model in plain C++, for tests
};

}  // namespace castor
