// Tells AddressSanitizer about stacks, and about memory that is allocated but may not be accessed. Does nothing in other builds.
#pragma once
#include <cstddef>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace castor::emulator::asan {

#if defined(__SANITIZE_ADDRESS__)
inline void poison(const void *data, size_t bytes) { __asan_poison_memory_region(data, bytes); }
inline void unpoison(const void *data, size_t bytes) { __asan_unpoison_memory_region(data, bytes); }
inline bool is_poisoned(const void *data, size_t bytes) { return bytes > 0 && __asan_region_is_poisoned(const_cast<void *>(data), bytes); }
inline void leave(void **fake_stack, const void *to, size_t bytes) { __sanitizer_start_switch_fiber(fake_stack, to, bytes); }
inline void arrive(void *fake_stack, const void **from, size_t *bytes) { __sanitizer_finish_switch_fiber(fake_stack, from, bytes); }
#else
inline void poison(const void *, size_t) {}
inline void unpoison(const void *, size_t) {}
inline bool is_poisoned(const void *, size_t) { return false; }
inline void leave(void **, const void *, size_t) {}
inline void arrive(void *, const void **, size_t *) {}
#endif

}  // namespace castor::emulator::asan
