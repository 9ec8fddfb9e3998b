// The thread pool of the CPU backend.
#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>

namespace castor {

int thread_count();  // that the kernels of this thread may use
void set_thread_count(int count);
// From now on, the kernels that this thread calls run on so many threads that nobody else uses.
void use_own_threads(int count);

using Chunk = void (*)(const void *body, int64_t begin, int64_t end);
void run_chunks(int64_t n, int64_t grain, Chunk chunk, const void *body);

// Calls body(begin, end) once for each chunk [k * grain, min(n, (k + 1) * grain)). The chunks do not depend on the number of threads, and
// therefore neither do results that are summed by chunk. Nested calls run inline. An exception of body is rethrown to the caller.
template <class Body> static inline void parallel_for(int64_t n, int64_t grain, Body &&body) {
  if (n <= 0) return;
  if (n <= grain) return (void)body(int64_t(0), n);
  using Plain = std::remove_reference_t<Body>;
  run_chunks(n, grain, [](const void *erased, int64_t begin, int64_t end) {
    (*const_cast<Plain *>(static_cast<const Plain *>(erased)))(begin, end);
  }, std::addressof(body));
}

}  // namespace castor
