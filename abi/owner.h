// Threads that end without a word and leave what they made, as a JavaScript worker does that is terminated.
#pragma once
#include <cstdint>

namespace castor {

// This thread, if the library frees after it; else 0.
extern __thread int32_t owner_here;

void free_storages_of(int32_t owner);
void free_graphs_of(int32_t owner);

}  // namespace castor
