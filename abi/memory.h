#pragma once

namespace castor {

struct Block;

// A piece of device memory. `block` is the allocator's record of it, where it keeps one.
struct Memory {
  void *data;
  Block *block;
};

}  // namespace castor
