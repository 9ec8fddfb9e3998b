// One axis of a sliding window: which outputs read the input through a given tap, and at which position.
#pragma once
#include <algorithm>
#include <cstdint>

namespace castor::CASTOR_ISA {

// Output i reads the position i * step + shift, which is inside [0, size) for begin <= i < end.
struct Axis {
  int64_t shift, begin, end;
  Axis(int64_t shift, int64_t step, int64_t places, int64_t size) : shift(shift) {
    auto first_at_least = [&](int64_t x) { return x <= 0 ? 0 : std::min(places, (x + step - 1) / step); };
    begin = first_at_least(-shift);
    end = std::max(begin, first_at_least(size - shift));
  }
  bool all(int64_t places) const { return begin == 0 && end == places; }
};

}  // namespace castor::CASTOR_ISA
