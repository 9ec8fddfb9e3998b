// The table of storages: it assigns ids, finds the memory of an id without a lock, and keeps the memory statistics of each device.
#include <mutex>
#include <new>
#include <string>
#include "capture.h"
#include "owner.h"
#include "spinlock.h"
#include "storage.h"

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

Slot *reserve(Device &device, int64_t bytes) {
  std::lock_guard<SpinLock> lock(table_lock);
  if (over_limit(device.ledger, bytes)) return nullptr;
  Slot *slot = first_free;
  if (slot) first_free = static_cast<Slot *>(slot->data.load(std::memory_order_relaxed));
  else slot = new_slot();
  enter(device.ledger, bytes);
  return slot;
}

// The slot's id is already negative, so no other thread can find it.
void give_back(Slot *slot, Device &device, int64_t bytes) {
  std::lock_guard<SpinLock> lock(table_lock);
  device.ledger.live -= bytes;
  device.ledger.storages--;
  if (slot->id.load(std::memory_order_relaxed) <= -(int64_t(1) << 53)) return;
  slot->data.store(first_free, std::memory_order_relaxed);
  first_free = slot;
}

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

double create_storage(Device &device, int64_t bytes) {
  if (!device.kernels) device.fail_lost();
  Slot *slot = reserve(device, bytes);
  if (!slot) fail_out_of_memory(device, bytes);
  Memory memory;
  try {
    Capture *const capture = capturing(device);
    memory = capture ? capture->allocate(bytes) : device.allocate(bytes);
  } catch (...) {
    give_back(slot, device, bytes);
    throw;
  }
  if (!memory.data) {
    give_back(slot, device, bytes);
    fail_out_of_memory(device, bytes);
  }
  slot->data.store(memory.data, std::memory_order_relaxed);
  slot->block.store(memory.block, std::memory_order_relaxed);
  slot->bytes.store(bytes, std::memory_order_relaxed);
  slot->device.store(&device, std::memory_order_relaxed);
  slot->owner.store(owner_here, std::memory_order_relaxed);
  const int64_t id = -slot->id.load(std::memory_order_relaxed);
  slot->id.store(id, std::memory_order_release);
  return double(id);
}

void destroy_storage(double handle) {
  int64_t id = id_of(handle);
  Slot *slot = slot_of(id);
  if (id == 0 || !slot || !slot->id.compare_exchange_strong(id, -(id + STORAGES))) fail_disposed(handle);
  const int64_t bytes = slot->bytes.load(std::memory_order_relaxed);
  Device &device = *slot->device.load(std::memory_order_relaxed);
  device.release({slot->data.load(std::memory_order_relaxed), slot->block.load(std::memory_order_relaxed)}, bytes);
  give_back(slot, device, bytes);
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
