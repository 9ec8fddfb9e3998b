// The CPU as a device: memory, copies and reads. The kernels are those of the instruction set that isa.cpp chooses.
#include "backend.h"
#include <cstring>
#include "../abi/error.h"
#include "../abi/notify.h"
#include "../abi/storage.h"
#include "../abi/stream.h"
#include "cache.h"
#include "graph.h"
#include "isa.h"
#include "machine.h"
#include "memory.h"
#include "threads.h"

namespace castor {
namespace {

// Copies on all threads, since one core does not use the whole memory bandwidth.
void copy_bytes(void *to, const void *from, int64_t bytes) {
  parallel_for(bytes, 1 << 22, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char *>(to) + begin, static_cast<const char *>(from) + begin, size_t(end - begin));
  });
}

// A read of CPU memory. It keeps a copy of the bytes, because the storage may be written to before the read is finished.
class Snapshot final : public Reading {
 public:
  Snapshot(const void *from, int64_t bytes) : Reading(bytes), data_(allocate(bytes)) {
    if (!data_) fail_out_of_memory(cpu_device(), bytes);
    copy_bytes(data_, from, bytes);
  }
  ~Snapshot() override { release(data_, bytes); }
  void copy_to(void *host) override { copy_bytes(host, data_, bytes); }

 private:
  void *const data_;
};

// The CPU as a device. Every call has run to its end when it returns, unless it is one of a stream.
class Cpu final : public Device {
 public:
  Cpu() : Device(CASTOR_CPU, &isa().kernels) {}

  Memory allocate(int64_t bytes) override { return {castor::allocate(bytes), nullptr}; }
  // Only memory that was allocated in a graph has a block.
  void release(Memory memory, int64_t bytes) override {
    memory.block ? MemoryPool::release(memory.block) : castor::release(memory.data, bytes);
  }
  void release_cached() override { castor::release_cached(); }
  int64_t cached_bytes() override { return castor::cached_bytes(); }
  int64_t memory_total() override { return castor::memory_total(); }
  int64_t memory_available() override { return castor::memory_available(); }
  bool has_room(int64_t bytes) override { return castor::has_room(bytes); }
  void set_memory_fraction(double fraction) override {
    set_limit(*this, fraction < 1 ? int64_t(fraction * double(memory_total())) : 0);
  }

  void write(void *to, const void *host, int64_t bytes) override { copy_bytes(to, host, bytes); }
  void read(const void *from, void *host, int64_t bytes) override { copy_bytes(host, from, bytes); }
  void send(const void *from, Device &target, void *to, int64_t bytes) override { target.write(to, from, bytes); }
  std::shared_ptr<Reading> start_read(const void *from, int64_t bytes) override { return std::make_shared<Snapshot>(from, bytes); }
  std::shared_ptr<Completion> mark() override { return mark_streams(); }
  void synchronize() override {
    if (const auto streams = mark_streams()) streams->wait();
  }
  std::unique_ptr<Capture> begin_capture(uint64_t seed, uint64_t offset) override { return begin_cpu_capture(*this, seed, offset); }
  Notifier &notifier() override { return notifier_; }
  void fail_lost() override { fail(CASTOR_INTERNAL, "the CPU has no kernels"); }

  std::string describe() override {
    return "{\"available\":true,\"name\":" + quoted(cpu_name()) + ",\"isa\":" + quoted(isa().name) + ",\"products\":{\"float32\":" +
           quoted(isa().float32) + ",\"float16\":" + quoted(isa().float16) + ",\"bfloat16\":" + quoted(isa().bfloat16) +
           "},\"panel\":{\"float32\":" + panel(DType::f32) + ",\"float16\":" + panel(DType::f16) + ",\"bfloat16\":" + panel(DType::bf16) +
           "},\"threads\":" + std::to_string(thread_count()) + (isa().model ? ",\"emulated\":true}" : "}");
  }

 private:
  // The columns of a panel of packed weights of a dtype; 0 if its products are not computed by multiply-adds of float32.
  static std::string panel(DType dtype) {
    const char *how = dtype == DType::f32 ? isa().float32 : dtype == DType::f16 ? isa().float16 : isa().bfloat16;
    return std::strstr(how, "multiply-add") ? std::to_string(isa().panel) : "0";
  }

  Notifier notifier_;
};

}  // namespace

Device &cpu_device() {
  static Cpu &device = *new Cpu;  // never destroyed: threads may use it while the process ends
  return device;
}

}  // namespace castor
