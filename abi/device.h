// What the border knows of a device besides its kernels: its memory, and copies to and from the host.
#pragma once
#include <string>
#include "backend.h"

namespace castor {

// Guarded by the lock of the storage table. Bytes as asked for, not as rounded by the allocator.
struct Ledger { int64_t live = 0, storages = 0, peak = 0, allocations = 0, limit = 0; };

struct Device {
  int32_t id;
  const Backend &kernels;
  void *(*allocate)(int64_t bytes);  // null when there is no memory left
  void (*release)(void *data, int64_t bytes);
  void (*release_cached)();
  int64_t (*cached_bytes)();
  int64_t (*memory_total)();
  int64_t (*memory_available)();
  void (*write)(void *to, const void *host, int64_t bytes);
  void (*read)(const void *from, void *host, int64_t bytes);
  void (*synchronize)();
  std::string (*describe)();
  Ledger ledger{};
};

Device &find_device(int32_t id);

}  // namespace castor
