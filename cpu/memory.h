// Host memory for storages and large temporary blocks. Freed blocks are kept for reuse: the page faults of new memory would take longer
// than most kernels.
#pragma once
#include <cstdint>

namespace castor {

void *allocate(int64_t bytes);  // 64-byte aligned, also for 0 bytes; null when no memory is left
void release(void *data, int64_t bytes);

}  // namespace castor
