// Device memory and page-locked host memory: an allocation of its own each, so that AddressSanitizer guards it.
#pragma once
#include <cstddef>

namespace castor::emulator {

size_t buffers_left();  // on devices that nobody has freed, unless they are lost

// For allocators that keep memory: what they give out, and what they have taken back, from the point of view of the kernels.
void mark_allocated(void *data, size_t bytes);
void mark_free(void *data, size_t bytes);

}  // namespace castor::emulator
