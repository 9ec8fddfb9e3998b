// Host memory for storages: freed blocks are kept, because the pages of a fresh one cost more to fault in than most kernels take.
#pragma once
#include <cstdint>

namespace castor {

void *allocate(int64_t bytes);  // 64-byte aligned, also for 0 bytes; null when there is no memory left
void release(void *data, int64_t bytes);
void release_cached();
int64_t cached_bytes();

}  // namespace castor
