// What the border knows of a device besides its kernels: its memory, the order of its work, and copies to and from the host.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include "backend.h"
#include "memory.h"

namespace castor {

// Guarded by the lock of the storage table. Bytes as asked for, not as rounded by the allocator.
// `wanted`: by the last request that failed.
struct Ledger { int64_t live = 0, storages = 0, peak = 0, allocations = 0, limit = 0, wanted = 0; };

// Work that was queued and that a thread of its own waits for.
class Completion {
 public:
  virtual ~Completion() = default;
  virtual void wait() {}
};

// Bytes on their way to the host, as they were when the read was queued.
class Reading : public Completion {
 public:
  const int64_t bytes;
  explicit Reading(int64_t bytes) : bytes(bytes) {}
  virtual void copy_to(void *host) = 0;  // after wait()
};

class Notifier;
class Capture;

class Device {
 public:
  const int32_t id;
  std::atomic<const Backend *> kernels;  // null when the device is lost
  Ledger ledger{};

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
  virtual int64_t memory_elsewhere() { return 0; }  // what other processes hold
  // The share of its memory that this process may take, 0 to 1.
  virtual void set_memory_fraction(double fraction) = 0;

  // What this thread queues from now on comes after what other threads have queued that use this memory.
  virtual void use(Block &) {}
  virtual void write(void *to, const void *host, int64_t bytes) = 0;  // the host's bytes are free again when it returns
  virtual void read(const void *from, void *host, int64_t bytes) = 0;
  // From this device's memory to another's, in the order of both.
  virtual void send(const void *from, Device &target, void *to, int64_t bytes) = 0;
  virtual std::shared_ptr<Reading> start_read(const void *from, int64_t bytes) = 0;
  virtual std::shared_ptr<Completion> mark() = 0;  // of all work this thread has queued so far
  virtual void synchronize() = 0;
  // Calls of this thread are recorded from now on. Seed and offset: where the random numbers begin.
  virtual std::unique_ptr<Capture> begin_capture(uint64_t seed, uint64_t offset) = 0;
  virtual std::string describe() = 0;
  // Throws what happened to a device without kernels.
  [[noreturn]] virtual void fail_lost() = 0;

  virtual Notifier &notifier() = 0;  // waits for what this thread queues
};

Device &find_device(int32_t id);

}  // namespace castor
