// The table of storages: it assigns ids, finds the memory of an id without a lock, and keeps the memory statistics of each device.
#include <algorithm>
#include <mutex>
#include <new>
#include <string>
#include <vector>
#include "../cpu/backend.h"
#include "capture.h"
#include "owner.h"
#include "spinlock.h"
#include "storage.h"
#include "stream.h"

namespace castor {

std::atomic<Slot *> slot_chunks[STORAGES / SLOTS_A_CHUNK];

namespace {

SpinLock table_lock;  // guards the two variables below and the statistics of every device
Slot *first_free = nullptr;
int64_t slots_used = 0;

Slot *new_slot() {
  if (slots_used == STORAGES) fail(CASTOR_OUT_OF_MEMORY, "more than %lld storages are alive", (long long)STORAGES);
  std::atomic<Slot *> &chunk = slot_chunks[slots_used / SLOTS_A_CHUNK];
  if (slots_used % SLOTS_A_CHUNK == 0) chunk.store(new Slot[SLOTS_A_CHUNK](), std::memory_order_release);
  Slot *slot = chunk.load(std::memory_order_relaxed) + slots_used % SLOTS_A_CHUNK;
  slot->id.store(-(STORAGES + slots_used++), std::memory_order_relaxed);
  return slot;
}

void enter(Ledger &ledger, int64_t bytes) {
  ledger.live += bytes;
  ledger.storages++;
  ledger.allocations++;
  if (ledger.live > ledger.peak) ledger.peak = ledger.live;
}

bool over_limit(const Ledger &ledger, int64_t bytes) { return ledger.limit > 0 && bytes > ledger.limit - ledger.live; }

void push(Slot *&list, Slot *slot) {
  slot->next = list;
  list = slot;
}

Slot *pop(Slot *&list) {
  Slot *slot = list;
  if (slot) list = slot->next;
  return slot;
}

// Small blocks are rounded up, so that a kept one serves every request of its list.
int64_t rounded(int64_t bytes) { return bytes > Kept::LARGEST ? bytes : (std::max<int64_t>(bytes, 1) + Kept::UNIT - 1) & -Kept::UNIT; }

Slot *&list_for(Kept &kept, int64_t bytes) { return kept.first[(rounded(bytes) - 1) / Kept::UNIT]; }

Slot *pop_kept(Kept &kept, int64_t bytes) {
  Slot *slot = bytes > Kept::LARGEST ? nullptr : pop(list_for(kept, bytes));
  if (slot) kept.bytes -= rounded(bytes);
  return slot;
}

// Returns a slot for a new storage, if possible one that has kept its memory, unless the memory has to come from elsewhere. null where the
// limit of the device does not allow it.
Slot *reserve(Device &device, int64_t bytes, bool elsewhere) {
  std::lock_guard<SpinLock> lock(table_lock);
  if (over_limit(device.ledger, bytes)) return nullptr;
  Slot *slot = elsewhere ? nullptr : pop_kept(device.kept, bytes);
  if (!slot) slot = pop(first_free);
  if (!slot) slot = new_slot();
  enter(device.ledger, bytes);
  return slot;
}

// Makes a slot without memory free. Its id is already negative, so no other thread finds it.
void free_slot(Slot *slot) {
  slot->data.store(nullptr, std::memory_order_relaxed);
  slot->block.store(nullptr, std::memory_order_relaxed);
  if (slot->id.load(std::memory_order_relaxed) > -(int64_t(1) << 53)) push(first_free, slot);
}

void unreserve(Slot *slot, Device &device, int64_t bytes) {
  std::lock_guard<SpinLock> lock(table_lock);
  device.ledger.live -= bytes;
  device.ledger.storages--;
  free_slot(slot);
}

// Memory that has left the table and is still to be released.
struct Dead {
  Device *device;
  Memory memory;
  int64_t bytes;
};

// Takes the memory out of a slot, whose id is negative, and makes the slot free.
Dead empty_slot(Slot *slot) {
  const Dead dead{slot->device.load(std::memory_order_relaxed),
                  {slot->data.load(std::memory_order_relaxed), slot->block.load(std::memory_order_relaxed)},
                  slot->bytes.load(std::memory_order_relaxed)};
  free_slot(slot);
  return dead;
}

// Only memory without a record of the allocator may be used next by any thread at once.
bool keeps(Device &device, Slot *slot, int64_t bytes) {
  if (bytes > Kept::LARGEST || device.kept.bytes >= Kept::LIMIT || slot->block.load(std::memory_order_relaxed)) return false;
  return slot->id.load(std::memory_order_relaxed) > -(int64_t(1) << 53);
}

// Counts a holder of shared memory less. Returns whether it was the last.
bool let_go(SharedMemory *shared, Device &device, int64_t bytes) {
  if (--shared->holders > 0) return false;
  delete shared;
  device.ledger.live -= bytes;
  return true;
}

// Gives the memory of a slot, or its part in shared memory, to the object of the work that still uses it.
void hand_over(Slot *slot, Device &device, int64_t bytes, Deferred &deferred) {
  deferred.shared = slot->shared.exchange(nullptr, std::memory_order_relaxed);
  if (!deferred.shared) device.ledger.live -= bytes;
  empty_slot(slot);
}

// Takes a storage out of the table. Returns false for a handle that is not that of a live storage. The slot keeps the memory if it is
// small, else `dead` gets it; if work still uses it, that (`deferred`) gets it. The caller holds the lock.
bool take_out(double handle, Dead &dead, Deferred *deferred) {
  const int64_t id = id_of(handle);
  Slot *slot = slot_of(id);
  if (id == 0 || !slot || slot->id.load(std::memory_order_relaxed) != id) return false;
  slot->id.store(-(id + STORAGES), std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);  // find_storage sees the new id if it sees a field written from here on
  const int64_t bytes = slot->bytes.load(std::memory_order_relaxed);
  Device &device = *slot->device.load(std::memory_order_relaxed);
  device.ledger.storages--;
  dead.device = nullptr;
  if (deferred) return hand_over(slot, device, bytes, *deferred), true;
  if (SharedMemory *shared = slot->shared.exchange(nullptr, std::memory_order_relaxed)) {
    const Dead last = empty_slot(slot);
    if (let_go(shared, device, bytes)) dead = last;
    return true;
  }
  device.ledger.live -= bytes;
  if (!keeps(device, slot, bytes)) return dead = empty_slot(slot), true;
  push(list_for(device.kept, bytes), slot);
  device.kept.bytes += rounded(bytes);
  return true;
}

void release(const Dead &dead) { dead.device->release(dead.memory, rounded(dead.bytes)); }

std::string text_of_bytes(int64_t bytes) {
  const char *units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = double(bytes);
  int unit = 0;
  for (; value >= 1024 && unit < 5; unit++) value /= 1024;
  char text[64];
  std::snprintf(text, sizeof text, unit ? "%.2f %s" : "%.0f %s", value, units[unit]);
  return text;
}

}  // namespace

void fail_disposed(double handle) { fail(CASTOR_DISPOSED, "%.17g is not the handle of a live storage", handle); }

void fail_out_of_memory(Device &device, int64_t bytes, const char *what) {
  {
    std::lock_guard<SpinLock> lock(table_lock);
    device.ledger.wanted = bytes;
  }
  const Ledger ledger = read_ledger(device);
  const int64_t elsewhere = device.memory_elsewhere();
  const std::string others = ", and other processes hold " + text_of_bytes(elsewhere) +
                             " (nvidia-smi lists them; CUDA_VISIBLE_DEVICES chooses another GPU)";
  fail(CASTOR_OUT_OF_MEMORY, "%s %s; %s are live in %lld storages, the limit is %s, %s of %s are free%s", what,
       text_of_bytes(bytes).c_str(),
       text_of_bytes(ledger.live).c_str(), (long long)ledger.storages, ledger.limit ? text_of_bytes(ledger.limit).c_str() : "not set",
       text_of_bytes(device.memory_available()).c_str(), text_of_bytes(device.memory_total()).c_str(),
       elsewhere > bytes ? others.c_str() : "");
}

bool is_live(double handle) {
  const int64_t id = id_of(handle);
  const Slot *slot = slot_of(id);
  return id != 0 && slot && slot->id.load(std::memory_order_acquire) == id;
}

// Gives a reserved slot memory. If there is none, the slot is free again.
static void *fill_slot(Slot *slot, Device &device, int64_t bytes, Capture *capture) {
  Memory memory;
  try {
    memory = capture ? capture->allocate(bytes) : device.allocate(device.id == CASTOR_CPU ? rounded(bytes) : bytes);
  } catch (...) {
    unreserve(slot, device, bytes);
    throw;
  }
  if (!memory.data) {
    unreserve(slot, device, bytes);
    fail_out_of_memory(device, bytes);
  }
  slot->data.store(memory.data, std::memory_order_relaxed);
  slot->block.store(memory.block, std::memory_order_relaxed);
  return memory.data;
}

NewStorage create_storage(Device &device, int64_t bytes) {
  if (!device.kernels) device.fail_lost();
  Capture *const capture = capturing(device);
  const bool late = stream_for(device) != nullptr;
  Slot *slot = reserve(device, bytes, capture != nullptr || late);
  if (!slot) fail_out_of_memory(device, bytes);
  void *data = slot->data.load(std::memory_order_relaxed);
  if (!data && !late) data = fill_slot(slot, device, bytes, capture);
  slot->bytes.store(bytes, std::memory_order_relaxed);
  slot->device.store(&device, std::memory_order_relaxed);
  slot->owner.store(owner_here, std::memory_order_relaxed);
  const int64_t id = -slot->id.load(std::memory_order_relaxed);
  if (!data) defer_allocation(double(id), {nullptr, nullptr, bytes, &device});
  slot->id.store(id, std::memory_order_release);
  if (capture) capture->made(double(id));
  return {double(id), data};
}

void expect_unshared(double handle, const char *name) {
  const Slot *slot = slot_of(id_of(handle));
  if (slot && slot->shared.load(std::memory_order_relaxed))
    fail(CASTOR_ARGUMENT, "%s is shared with other threads, and nothing can be written to it. clone() it first", name);
}

template <class T> static void copy_field(std::atomic<T> &to, const std::atomic<T> &from) {
  to.store(from.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

double share_storage(double handle) {
  std::lock_guard<SpinLock> lock(table_lock);
  const int64_t from_id = id_of(handle);
  Slot *from = slot_of(from_id);
  if (from_id == 0 || !from || from->id.load(std::memory_order_relaxed) != from_id) fail_disposed(handle);
  if (MemoryPool::keeps(from->block.load(std::memory_order_relaxed)))
    fail(CASTOR_CAPTURE, "the memory of a graph cannot be shared, because each replay writes to it. clone() the tensor first");
  Slot *slot = pop(first_free);
  if (!slot) slot = new_slot();
  if (!from->shared.load(std::memory_order_relaxed)) from->shared.store(new SharedMemory{1}, std::memory_order_relaxed);
  from->shared.load(std::memory_order_relaxed)->holders++;
  copy_field(slot->shared, from->shared);
  copy_field(slot->data, from->data);
  copy_field(slot->block, from->block);
  copy_field(slot->bytes, from->bytes);
  copy_field(slot->device, from->device);
  slot->owner.store(owner_here, std::memory_order_relaxed);
  Ledger &ledger = from->device.load(std::memory_order_relaxed)->ledger;
  ledger.storages++;
  ledger.allocations++;
  const int64_t id = -slot->id.load(std::memory_order_relaxed);
  slot->id.store(id, std::memory_order_release);
  return double(id);
}

// The lock is taken once for many storages, and their memory is released without it.
void destroy_storages(const double *handles, int64_t count) {
  constexpr int64_t AT_ONCE = 64;
  Dead dead[AT_ONCE];
  std::vector<std::shared_ptr<Deferred>> deferred;
  double wrong = 0;
  bool failed = false;
  for (int64_t from = 0; from < count; from += AT_ONCE) {
    int found = 0;
    deferred.clear();
    if (deferring()) {
      for (int64_t i = from; i < std::min(from + AT_ONCE, count); i++) deferred.push_back(abandon(handles[i]));
    }
    {
      std::lock_guard<SpinLock> lock(table_lock);
      for (int64_t i = from; i < std::min(from + AT_ONCE, count); i++) {
        Deferred *const work = deferred.empty() ? nullptr : deferred[size_t(i - from)].get();
        if (!take_out(handles[i], dead[found], work)) wrong = handles[i], failed = true;
        else if (dead[found].device) found++;
      }
    }
    for (int i = 0; i < found; i++) release(dead[i]);
  }
  if (failed) fail_disposed(wrong);
}

void *allocate_unregistered(int64_t bytes) {
  Device &cpu = cpu_device();
  const Memory memory = cpu.allocate(rounded(bytes));
  if (!memory.data) fail_out_of_memory(cpu, bytes);
  return memory.data;
}

void release_unregistered(Device &device, Memory memory, int64_t bytes, SharedMemory *shared) {
  if (shared) {
    std::lock_guard<SpinLock> lock(table_lock);
    if (!let_go(shared, device, bytes)) return;
  }
  release({&device, memory, bytes});
}

void publish(double handle, void *data) {
  std::lock_guard<SpinLock> lock(table_lock);
  const int64_t id = id_of(handle);
  Slot *slot = slot_of(id);
  if (slot->id.load(std::memory_order_relaxed) == id) slot->data.store(data, std::memory_order_relaxed);
}

int64_t cached_bytes(Device &device) {
  const int64_t below = device.cached_bytes();
  std::lock_guard<SpinLock> lock(table_lock);
  return below + device.kept.bytes;
}

void release_cached(Device &device) {
  std::vector<Dead> dead;
  {
    std::lock_guard<SpinLock> lock(table_lock);
    for (Slot *&list : device.kept.first) {
      while (Slot *slot = pop(list)) dead.push_back(empty_slot(slot));
    }
    device.kept.bytes = 0;
  }
  for (const Dead &each : dead) release(each);
  device.release_cached();
}

void free_storages_of(int32_t owner) {
  table_lock.lock();
  const int64_t count = slots_used;
  table_lock.unlock();
  for (int64_t i = 0; i < count; i++) {
    const Slot *slot = slot_of(i);
    const int64_t id = slot->id.load(std::memory_order_acquire);
    if (id > 0 && slot->owner.load(std::memory_order_relaxed) == owner) castor_free(double(id));
  }
}

Ledger read_ledger(Device &device) {
  std::lock_guard<SpinLock> lock(table_lock);
  return device.ledger;
}

void reset_peak(Device &device) {
  std::lock_guard<SpinLock> lock(table_lock);
  device.ledger.peak = device.ledger.live;
}

void set_limit(Device &device, int64_t bytes) {
  std::lock_guard<SpinLock> lock(table_lock);
  device.ledger.limit = bytes;
}

}  // namespace castor
