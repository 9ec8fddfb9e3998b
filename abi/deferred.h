// Storages of the CPU that work in streams uses. The work runs later, on a thread of the library. A storage that is made by it has no
// memory before the first work that uses it runs, and one that was freed keeps its memory until the last such work has run. So a stream
// needs as much memory as the same calls made at once.
//
// Work on one storage runs in the order of its calls: work of another stream waits for it, and so does a thread that calls without a
// stream. Work that only reads does not wait for other work that reads.
#pragma once
#include <memory>
#include <mutex>
#include <vector>
#include "storage.h"

namespace castor {

class Stream;
using Failure = std::shared_ptr<const Error>;

// The position of work in its stream.
struct Ticket {
  std::shared_ptr<Stream> stream;
  int64_t number = 0;
};

struct Deferred {
  const double handle;
  const int64_t bytes;
  const bool late;           // was it made in a stream, without memory?
  std::atomic<void *> data;  // null before there is memory
  Block *const block;
  bool freed = false;        // the memory belongs to this object alone
  SharedMemory *shared = nullptr;  // unless it has only a part in it
  int works = 0;             // calls and work that use it and have not ended
  Ticket written;            // the last work that writes it
  std::vector<Ticket> read;  // the last work of each stream that has read it since
  Failure failure;           // why its values were not computed

  Deferred(double handle, const Storage &storage)
      : handle(handle), bytes(storage.bytes), late(!storage.data), data(storage.data), block(storage.block) {}
  ~Deferred();
  Deferred(const Deferred &) = delete;
  Deferred &operator=(const Deferred &) = delete;
};

enum class Access { read, write };

struct StorageUse {
  std::shared_ptr<Deferred> storage;
  Access access;
};

// Guards the fields of the objects above, except `data`, and those of streams.
extern std::mutex streams_lock;

// The number of storages that deferred work uses, and of threads whose calls go to a stream. It is almost always 0 where no streams are
// used, and then no call looks any further.
extern std::atomic<int> deferrals;
inline bool deferring() { return deferrals.load(std::memory_order_acquire) != 0; }

// The call of this thread that is being checked uses a storage. If the call goes to a stream, this notes the use, and returns the object
// of a storage that may have no memory yet, else null. If the call runs at once, this waits for the work before, puts the memory into
// `storage`, and returns null. It throws if the values were not computed.
Deferred *defer(double handle, Storage &storage, Access access);
// Waits for the work before, and puts the memory into `storage`.
void settle(double handle, Storage &storage, Access access);
// For work that is not a call of a kernel: notes a storage that it uses. Adding the work to a stream takes what was noted, and the next
// call forgets it.
void note_use(double handle, const Storage &storage, Access access);
const std::vector<StorageUse> &noted_uses();
void forget_uses();

bool has_work(double handle);
bool is_deferred(double handle);       // may it have no memory yet, or work?
bool is_written_later(double handle);  // by work that has not ended

// A new storage of a stream gets no memory yet.
void defer_allocation(double handle, const Storage &storage);
// A storage is freed. If work uses it, its memory is not the caller's to release, but goes with the last reference to the returned object.
std::shared_ptr<Deferred> abandon(double handle);
// Work has ended that has used these storages. `failure` says why what it writes was not computed.
void end_uses(const std::vector<StorageUse> &uses, const Failure &failure);

// Makes the data of a view an address. From the first time on there is memory.
void place_in_memory(View &view);
inline void place(View &view) {
  if (view.deferred) place_in_memory(view);
}

}  // namespace castor
