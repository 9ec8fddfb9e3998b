// Graph capture: the calls of a thread on a device are recorded instead of run, and the recording can be replayed any number of times.
#pragma once
#include <memory>
#include <mutex>
#include <unordered_set>
#include <vector>
#include "memory_pool.h"
#include "storage.h"

namespace castor {

// The random numbers of recorded calls: the number to add to the offsets that were recorded, and a seed in place of the recorded one,
// unless the calls are made as they were recorded.
struct Draw {
  uint64_t seed, added;
  bool as_recorded = false;
  uint64_t seed_for(uint64_t recorded) const { return as_recorded ? recorded : seed; }
};

// A copy from or to a tensor of another device, which each replay makes anew, before or after the graph's own calls.
class Crossing {
 public:
  virtual ~Crossing() = default;
  virtual void find() = 0;  // the tensor's memory, when its earlier work is done; throws CASTOR_DISPOSED when it has been freed
  virtual void run() = 0;
};
using Crossings = std::vector<std::unique_ptr<Crossing>>;

// A recording that can be replayed. It owns the memory of the storages that were created while it was recorded.
class Graph {
 public:
  virtual ~Graph() { pool_->close(); }
  const Device &device() const { return device_; }
  int64_t kept() const { return pool_->cached(); }  // bytes of its memory that no live storage uses
  // Throws CASTOR_DISPOSED when a storage that the graph uses, and that existed before the capture, has been freed. In a stream, the graph
  // lives until its calls have been made.
  void replay(const std::shared_ptr<Graph> &self, uint64_t seed, uint64_t offset);
  void run_calls(uint64_t seed, uint64_t offset);

 protected:
  explicit Graph(class Capture &capture);
  virtual void run(const Draw &draw) = 0;

 private:
  std::mutex mutex_;
  Device &device_;
  MemoryPool *const pool_;
  const uint64_t first_offset_;
  const std::vector<double> uses_;
  std::vector<double> outputs_;  // the storages made during the capture that are still alive
  const Crossings arriving_, leaving_;

  void use(double handle, Storage storage);
  void use_outputs();
};

class Capture {
 public:
  Device &device;
  const uint64_t seed, offset;  // of the random generator when the capture began

  Capture(Device &device, MemoryPool::Source &source, int stream, uint64_t seed, uint64_t offset)
      : device(device), seed(seed), offset(offset), pool_(new MemoryPool(source, stream, true)) {}
  virtual ~Capture() { if (pool_) pool_->close(); }

  virtual Memory allocate(int64_t bytes) { return pool_->allocate(bytes); }
  virtual const Backend &kernels() = 0;
  virtual std::shared_ptr<Graph> end() = 0;
  void use(double handle, const Storage &storage) { if (!pool_->made(storage.block)) uses_.insert(handle); }
  void made(double handle) { makes_.push_back(handle); }
  // Adds a copy from another device, or one to another device.
  void arrives(std::unique_ptr<Crossing> copy) { arriving_.push_back(std::move(copy)); }
  void leaves(std::unique_ptr<Crossing> copy) { leaving_.push_back(std::move(copy)); }

 protected:
  MemoryPool *pool_;  // null once the memory belongs to a graph

 private:
  friend Graph;
  std::unordered_set<double> uses_;  // storages that existed before
  std::vector<double> makes_;
  Crossings arriving_, leaving_;
};

// The number of captures under way in the process. It is almost always 0, and then no call looks any further.
extern std::atomic<int> captures;
Capture *capture_on(const Device &device);  // this thread's, or null

inline Capture *capturing(const Device &device) {
  return captures.load(std::memory_order_relaxed) == 0 ? nullptr : capture_on(device);
}

int64_t graph_bytes(const Device &device);

constexpr const char *READ_AFTER = "Return the tensor from the function that is captured, and read it after a replay";

// Throws when this thread is capturing on the device: `what` cannot be part of a graph, and `instead` is advice for the user.
inline void expect_no_capture(const Device &device, const char *what, const char *instead) {
  if (capturing(device)) fail(CASTOR_CAPTURE, "%s cannot be captured in a graph. %s", what, instead);
}

}  // namespace castor
