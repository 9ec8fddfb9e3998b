// The state of the whole run: its seed, its kinds, the selected cases, and the results.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace tests {

uint64_t run_seed();
uint64_t hash(const std::string &text);

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace tests
