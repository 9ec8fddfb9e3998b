// Frees the storages and graphs of a thread that ends without freeing them, such as a JavaScript worker that is terminated.
#pragma once
#include <cstdint>

namespace castor {

// The number of this thread, if it asked the library to free what it leaves behind, else 0.
extern __thread int32_t owner_here;

void free_storages_of(int32_t owner);
void free_graphs_of(int32_t owner);

}  // namespace castor
