// Storages: their ids, and the memory that they own.
#pragma once
#include <atomic>
#include "device.h"

namespace castor {

// An id is generation * STORAGES + slot, below 2^53. A free slot holds the id that it will have next, negated, so an id is never used
// twice. A slot that has used all its generations is not used again.
constexpr int64_t STORAGES = int64_t(1) << 24;
constexpr int64_t SLOTS_A_CHUNK = 1 << 12;

// Memory that several storages show. The lock of the table guards it.
struct SharedMemory { int64_t holders; };

struct alignas(64) Slot {
  std::atomic<int64_t> id;
  std::atomic<void *> data;
  std::atomic<Block *> block;
  std::atomic<int64_t> bytes;
  std::atomic<Device *> device;
  std::atomic<SharedMemory *> shared;  // null unless the memory is shared; then nothing writes to it
  std::atomic<int32_t> owner;  // the thread at whose end it is freed, or 0
  Slot *next;                  // in a free slot: the next one of its list
};

struct Storage {
  void *data;
  Block *block;
  int64_t bytes;
  Device *device;
};

extern std::atomic<Slot *> slot_chunks[STORAGES / SLOTS_A_CHUNK];

[[noreturn]] void fail_disposed(double handle);

inline Slot *slot_of(int64_t id) {
  const int64_t index = id & (STORAGES - 1);
  Slot *chunk = slot_chunks[index / SLOTS_A_CHUNK].load(std::memory_order_acquire);
  return chunk ? chunk + index % SLOTS_A_CHUNK : nullptr;
}

// The id in a handle, or 0 for a number that cannot be an id.
inline int64_t id_of(double handle) {
  if (!(handle >= 1 && handle < 0x1p53)) return 0;
  const int64_t id = int64_t(handle);
  return double(id) == handle ? id : 0;
}

// Takes no lock. The id is compared again at the end, so that the fields certainly belong to one storage.
inline bool find_if_live(double handle, Storage &found) {
  const int64_t id = id_of(handle);
  const Slot *slot = slot_of(id);
  if (id == 0 || slot == nullptr || slot->id.load(std::memory_order_acquire) != id) return false;
  found = {slot->data.load(std::memory_order_relaxed), slot->block.load(std::memory_order_relaxed),
           slot->bytes.load(std::memory_order_relaxed), slot->device.load(std::memory_order_relaxed)};
  std::atomic_thread_fence(std::memory_order_acquire);
  return slot->id.load(std::memory_order_relaxed) == id;
}

inline Storage find_storage(double handle) {
  Storage found;
  if (!find_if_live(handle, found)) fail_disposed(handle);
  return found;
}

bool is_live(double handle);
// Throws unless the memory of a storage may be written to. `name` is what messages call the argument.
void expect_unshared(double handle, const char *name);
// Makes a storage with the memory of another one. It is freed with the last of them, and nothing can write to it any more.
double share_storage(double handle);

// The bytes [offset, offset + bytes) of a storage.
struct Range {
  Storage storage;
  int64_t offset, bytes;
  Device &device() const { return *storage.device; }
  char *data() const { return static_cast<char *>(storage.data) + offset; }
};

Range find_range(double handle, double offset, double bytes);

[[noreturn]] void fail_out_of_memory(Device &device, int64_t bytes, const char *what = "wanted");
struct NewStorage {
  double handle;
  void *data;
};
NewStorage create_storage(Device &device, int64_t bytes);  // data is null in a stream, where there is no memory yet
// Memory of the CPU that belongs to no slot of the table yet, or any more.
void *allocate_unregistered(int64_t bytes);
void release_unregistered(Device &device, Memory memory, int64_t bytes, SharedMemory *shared);
void publish(double handle, void *data);  // the memory of a storage that had none
void destroy_storages(const double *handles, int64_t count);  // frees all that it can, and then throws if there was a wrong handle

int64_t cached_bytes(Device &device);
void release_cached(Device &device);
Ledger read_ledger(Device &device);
void reset_peak(Device &device);
void set_limit(Device &device, int64_t bytes);

}  // namespace castor
