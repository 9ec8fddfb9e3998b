// See room.h. To ask the system takes tens of microseconds, so it is asked once for every CHECK_EVERY bytes.
#include "room.h"
#include <algorithm>
#include <atomic>
#include "machine.h"

namespace castor {
namespace {

constexpr int64_t MiB = 1024 * 1024;
constexpr int64_t CHECK_EVERY = 16 * MiB;
constexpr int64_t PAGE = 4096;

std::atomic<int64_t> unchecked{0};  // bytes granted since the system was last asked
std::atomic<int64_t> pending{0};    // bytes that are claimed now

// Left for the rest of the process: JavaScript's own memory grows between two checks.
int64_t reserve(int64_t total) { return std::max(total / 64, std::min(total / 8, 64 * MiB)); }

// The second condition counts pages that are allocated but not yet touched, which the machine does not count as used.
bool has_room(int64_t bytes, int64_t claimed) {
  const int64_t total = memory_total();
  return bytes <= memory_available() - reserve(total) && claimed <= total;
}

}  // namespace

Claim::Claim(int64_t bytes, int64_t claimed) : bytes_(bytes) {
  const int64_t all = pending.fetch_add(bytes) + bytes;
  if (unchecked.fetch_add(bytes) + bytes < CHECK_EVERY) return;
  granted_ = has_room(all, claimed);
  unchecked.store(granted_ ? 0 : CHECK_EVERY);  // after a refusal the next claim is checked, however small it is
}

Claim::~Claim() { pending.fetch_sub(bytes_); }

void commit(void *data, int64_t bytes) {
  if (!memory_limited()) return;
  volatile char *const to = static_cast<char *>(data);
  for (int64_t at = 0; at < bytes; at += PAGE) to[at] = 0;
}

}  // namespace castor
