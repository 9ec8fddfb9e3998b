// The freed blocks that memory.cpp keeps, and what the system has left.
#pragma once
#include <cstdint>

namespace castor {

int64_t cached_bytes();
void release_cached();
// Gives blocks back to the system that nobody has used since the call before this one. Returns whether there are cached blocks left.
bool release_idle();
// Does the system have room for so many bytes that somebody is about to allocate elsewhere? If not, cached blocks are given back first.
bool has_room(int64_t bytes);

}  // namespace castor
