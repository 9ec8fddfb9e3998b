// The run as a whole: its seed, its kinds, which cases are wanted, and what came of them.
#pragma once
#include <cstdint>
#include <stdexcept>

namespace tests {

uint64_t run_seed();

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace tests
