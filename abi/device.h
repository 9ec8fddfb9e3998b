// The interface of a device besides its kernels: its memory, the order of its work, and copies to and from the host.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include "backend.h"
#include "memory.h"

namespace castor {

// Memory statistics of a device, guarded by the lock of the storage table. The bytes are those requested, before the allocator rounds them
// up. `wanted` is the size of the last request that failed.
struct Ledger { int64_t live = 0, storages = 0, peak = 0, allocations = 0, limit = 0, wanted = 0; };

// Free slots that have kept the memory of small storages, guarded by the same lock. List i has blocks of i + 1 units.
struct Kept {
  static constexpr int64_t UNIT = 64, LARGEST = 1024, LIMIT = 1 << 20;  // bytes: of a block, and of all blocks together
  struct Slot *first[LARGEST / UNIT] = {};
  int64_t bytes = 0;
};

// Queued work that another thread can wait for.
class Completion {
 public:
  virtual ~Completion() = default;
  virtual void wait() {}
};

// A read of device memory: the bytes as they were when the read was queued.
class Reading : public Completion {
 public:
  const int64_t bytes;
  explicit Reading(int64_t bytes) : bytes(bytes) {}
  virtual void copy_to(void *host) = 0;  // may be called after wait()
};

class Notifier;
class Capture;

class Device {
 public:
  const int32_t id;
  std::atomic<const Backend *> kernels;  // null when the device is lost
  Ledger ledger{};
  Kept kept{};

  Device(int32_t id, const Backend *kernels) : id(id), kernels(kernels) {}
  virtual ~Device() = default;
  Device(const Device &) = delete;
  Device &operator=(const Device &) = delete;

  virtual Memory allocate(int64_t bytes) = 0;  // data is null when there is no memory left
  virtual void release(Memory memory, int64_t bytes) = 0;
  virtual void release_cached() = 0;
  virtual int64_t cached_bytes() = 0;
  virtual int64_t memory_total() = 0;
  virtual int64_t memory_available() = 0;
  virtual bool has_room(int64_t bytes) { return bytes <= memory_available(); }  // for memory that is not allocated here
  virtual int64_t memory_elsewhere() { return 0; }  // bytes that other processes use
  // Sets the share (0 to 1) of the device's memory that this process may use.
  virtual void set_memory_fraction(double fraction) = 0;

  // Makes the work that this thread queues from now on run after the work with this memory that other threads have queued.
  virtual void use(Block &) {}
  virtual void write(void *to, const void *host, int64_t bytes) = 0;  // when it returns, the host may change the memory that was read
  virtual void read(const void *from, void *host, int64_t bytes) = 0;
  // Copies from this device's memory to another device's, ordered with the work of both.
  virtual void send(const void *from, Device &target, void *to, int64_t bytes) = 0;
  virtual std::shared_ptr<Reading> start_read(const void *from, int64_t bytes) = 0;
  virtual std::shared_ptr<Completion> mark() = 0;  // completes with all the work that this thread has queued so far
  virtual void synchronize() = 0;
  // Records the calls of this thread from now on. Seed and offset are the state of the random generator.
  virtual std::unique_ptr<Capture> begin_capture(uint64_t seed, uint64_t offset) = 0;
  virtual std::string describe() = 0;
  // Throws the error that made the device lose its kernels.
  [[noreturn]] virtual void fail_lost() = 0;

  virtual Notifier &notifier() = 0;  // watches the work that this thread queues
};

Device &find_device(int32_t id);
// The op with a number, by the name of the field of Backend that is its kind; that name where the kind has no list of ops.
std::string name_of_op(const std::string &kind, int op);

}  // namespace castor
