// Device memory and page-locked host memory. Each allocation is a separate one of the system, so that AddressSanitizer guards it.
#pragma once
#include <cstddef>

namespace castor::emulator {

size_t buffers_left();  // not freed yet, on devices that are not lost

// For allocators that keep memory: marks the memory that they give to kernels, and the memory that they have taken back.
void mark_allocated(void *data, size_t bytes);
void mark_free(void *data, size_t bytes);

}  // namespace castor::emulator
