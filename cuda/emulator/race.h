// Tells the race checker about accesses that the compiler does not instrument. Does nothing in other builds.
#pragma once
#include <cstddef>
#include "failure.h"

// Marks a function whose own accesses are not to be checked.
#define EMULATOR_UNCHECKED __attribute__((no_sanitize("thread")))

namespace castor::emulator::race {

#if defined(CASTOR_EMULATOR_RACE)
void reads(const void *data, size_t bytes, const Place &place);
void writes(const void *data, size_t bytes, const Place &place);
void writes_atomically(const void *data, size_t bytes);
void fences();         // __threadfence of a thread: from here on its block may pass what it wrote by an atomic function
void begins_launch();
void begins_block();
void ends_block();
void allocates(const void *data, size_t bytes);  // device memory from here on
void frees(const void *data, size_t bytes);
void *map(size_t bytes);                         // memory whose accesses are checked
void unmap(void *data, size_t bytes);
#else
inline void reads(const void *, size_t, const Place &) {}
inline void writes(const void *, size_t, const Place &) {}
inline void writes_atomically(const void *, size_t) {}
inline void fences() {}
inline void begins_launch() {}
inline void begins_block() {}
inline void ends_block() {}
#endif

}  // namespace castor::emulator::race
