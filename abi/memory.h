#pragma once

namespace castor {

struct Block;

// A piece of device memory. `block` is the allocator's record of it, or null for allocators without records.
struct Memory {
  void *data;
  Block *block;
};

}  // namespace castor
