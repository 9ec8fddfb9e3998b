// The division of long rows into parts where there are too few rows to fill the device.
#pragma once
#include <algorithm>
#include "launch.h"

namespace castor::cuda {

constexpr int64_t MOST_PARTS = 1024;

// Blocks along x, and parts of `share` units of work along y.
struct Split {
  int parts;
  int64_t share;

  // Splits if the blocks fill less than half of the device and a part has at least `least` units.
  Split(const Context &context, int64_t blocks, int threads, int64_t units, int64_t least) {
    const int64_t full = int64_t(context.multiprocessors) * 2048 / threads, wanted = 2 * blocks <= full ? full / blocks : 1;
    const int64_t most = std::max<int64_t>(1, std::min({wanted, units / least, MOST_PARTS}));
    share = blocks_for(std::max<int64_t>(1, units), most);
    parts = int(blocks_for(std::max<int64_t>(1, units), share));
  }
};

inline int power_of_two(int64_t at_least, int64_t limit) {
  int64_t n = 1;
  while (n < at_least && n < limit) n *= 2;
  return int(std::min(n, limit));
}

// The number of threads across a block whose other threads are down: the wanted number if the block has as many, and a divisor of its size.
inline int lanes_for(int64_t wanted, int threads) {
  int lanes = 1;
  while (lanes < wanted && threads % (2 * lanes) == 0) lanes *= 2;
  return lanes;
}

}  // namespace castor::cuda
