// The table of storages that deferred work uses.
#include "deferred.h"
#include <unordered_map>
#include <utility>
#include "../cpu/backend.h"
#include "stream.h"

namespace castor {

std::mutex streams_lock;
std::atomic<int> deferrals{0};

namespace {

// Never destroyed, because threads of the library may run longer than main.
std::unordered_map<double, std::shared_ptr<Deferred>> &table = *new std::unordered_map<double, std::shared_ptr<Deferred>>;

// The storages that the call which this thread is checking uses.
struct Noted : std::vector<StorageUse> {
  ~Noted() { forget(); }
  void forget() {
    if (empty()) return;
    std::lock_guard<std::mutex> lock(streams_lock);
    end_uses(*this, nullptr);
    clear();
  }
};
thread_local Noted noted;

std::shared_ptr<Deferred> find(double handle) {
  const auto found = table.find(handle);
  return found == table.end() ? nullptr : found->second;
}

const std::shared_ptr<Deferred> &enter(double handle, const Storage &storage) {
  std::shared_ptr<Deferred> &entry = table[handle];
  entry = std::make_shared<Deferred>(handle, storage);
  deferrals++;
  return entry;
}

// A storage that had no memory when the caller looked, and has no object now, has got its memory since from work that has ended.
const std::shared_ptr<Deferred> &entry_of(double handle, const Storage &seen) {
  const auto found = table.find(handle);
  if (found != table.end()) return found->second;
  return enter(handle, seen.data ? seen : find_storage(handle));
}

// A storage without work needs no object any more once the table of storages knows its memory.
void drop_use(const Deferred &storage) {
  if (storage.works > 0 || storage.freed || !storage.data || storage.failure) return;
  deferrals -= int(table.erase(storage.handle));
}

// In a stream whose failure nobody was told of yet, calls on what was not computed are added and dropped.
void expect_computed(const Deferred &storage, const Stream *stream) {
  if (!storage.failure || (stream && stream->fails_with(storage.failure))) return;
  const Error &why = *storage.failure;
  fail(why.status, "the work that was to compute this tensor has failed: %s", why.message.c_str());
}

void *memory_of(Deferred &storage) {
  if (!storage.data) {
    void *data = allocate_unregistered(storage.bytes);
    storage.data = data;
    publish(storage.handle, data);
  }
  return storage.data;
}

}  // namespace

Deferred::~Deferred() {
  if (freed && data) release_unregistered(cpu_device(), {data, block}, bytes, shared);
}

void note_use(double handle, const Storage &storage, Access access) {
  std::lock_guard<std::mutex> lock(streams_lock);
  const std::shared_ptr<Deferred> &entry = entry_of(handle, storage);
  expect_computed(*entry, stream_here().get());
  entry->works++;
  noted.push_back({entry, access});
}

const std::vector<StorageUse> &noted_uses() { return noted; }
void forget_uses() { noted.forget(); }

Deferred *defer(double handle, Storage &storage, Access access) {
  if (storage.device->id != CASTOR_CPU) return nullptr;
  if (!stream_here()) {
    settle(handle, storage, access);
    return nullptr;
  }
  note_use(handle, storage, access);
  Deferred *entry = noted.back().storage.get();
  storage.data = entry->late ? nullptr : entry->data.load();
  return entry->late ? entry : nullptr;
}

void settle(double handle, Storage &storage, Access access) {
  std::unique_lock<std::mutex> lock(streams_lock);
  const std::shared_ptr<Deferred> entry = find(handle);
  if (!entry) {
    // The last work with this storage has ended since the caller looked it up.
    if (!storage.data) storage = find_storage(handle);
    return;
  }
  entry->works++;
  const std::vector<StorageUse> uses{{entry, access}};
  try {
    wait_for(lock, entry->written);
    if (access == Access::write) {
      const std::vector<Ticket> read = entry->read;
      for (const Ticket &ticket : read) wait_for(lock, ticket);
    }
    expect_computed(*entry, nullptr);
    storage.data = memory_of(*entry);
  } catch (...) {
    end_uses(uses, nullptr);
    throw;
  }
  end_uses(uses, nullptr);
}

void end_uses(const std::vector<StorageUse> &uses, const Failure &failure) {
  for (const StorageUse &use : uses) {
    // A storage that existed before the stream keeps its old values.
    if (failure && use.access == Access::write && use.storage->late) use.storage->failure = failure;
    use.storage->works--;
    drop_use(*use.storage);
  }
}

bool has_work(double handle) {
  std::lock_guard<std::mutex> lock(streams_lock);
  const std::shared_ptr<Deferred> entry = find(handle);
  return entry && entry->works > 0;
}

void defer_allocation(double handle, const Storage &storage) {
  std::lock_guard<std::mutex> lock(streams_lock);
  enter(handle, storage);
}

std::shared_ptr<Deferred> abandon(double handle) {
  std::lock_guard<std::mutex> lock(streams_lock);
  const auto found = table.find(handle);
  if (found == table.end()) return nullptr;
  std::shared_ptr<Deferred> entry = std::move(found->second);
  table.erase(found);
  deferrals--;
  entry->freed = true;
  return entry;
}

void place_in_memory(View &view) {
  Deferred &storage = *std::exchange(view.deferred, nullptr);
  void *data = storage.data;
  if (!data) {
    std::lock_guard<std::mutex> lock(streams_lock);
    data = memory_of(storage);
  }
  view.data = static_cast<char *>(data) + reinterpret_cast<intptr_t>(view.data);
}

bool is_deferred(double handle) {
  std::lock_guard<std::mutex> lock(streams_lock);
  return find(handle) != nullptr;
}

bool is_written_later(double handle) {
  std::lock_guard<std::mutex> lock(streams_lock);
  const std::shared_ptr<Deferred> entry = find(handle);
  return entry && !is_done(entry->written);
}


}  // namespace castor
