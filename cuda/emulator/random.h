#pragma once
#include <cstdint>

namespace castor::emulator {

// xorshift64 (Marsaglia: Xorshift RNGs; 2003): it gives the same numbers everywhere, and is fast enough to be called at every step.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u | 1) {}
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  uint32_t below(uint32_t n) { return uint32_t((next() >> 32) * n >> 32); }

 private:
  uint64_t state_;
};

}  // namespace castor::emulator
