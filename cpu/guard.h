// In the build with AddressSanitizer, which is for tests, a read or write outside the bytes that a kernel asked for ends the process, and
// memory that was handed out and not yet written holds NaN. In other builds these functions do nothing.
#pragma once
#include <cstddef>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <cstring>
#endif

namespace castor::guard {

#if defined(__SANITIZE_ADDRESS__)
// The first `bytes` bytes of a block of `capacity` bytes may be accessed. All bits of them are set: NaN, or -1 as an integer.
inline void *open(void *block, size_t bytes, size_t capacity) {
  if (!block) return block;
  __asan_unpoison_memory_region(block, capacity);
  std::memset(block, 0xff, bytes);
  __asan_poison_memory_region(static_cast<char *>(block) + bytes, capacity - bytes);
  return block;
}
// Nothing of a block may be accessed until it is opened.
inline void close(void *block, size_t capacity) {
  if (block) __asan_poison_memory_region(block, capacity);
}
// All of a block may be accessed, as it must be before it is given back to the system.
inline void clear(void *block, size_t capacity) {
  if (block) __asan_unpoison_memory_region(block, capacity);
}
#else
inline void *open(void *block, size_t, size_t) { return block; }
inline void close(void *, size_t) {}
inline void clear(void *, size_t) {}
#endif

}  // namespace castor::guard
