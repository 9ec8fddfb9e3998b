// A GPU, as a device of the C ABI.
#pragma once
#include <mutex>
#include <unordered_map>
#include "stream.h"

namespace castor::cuda {

class Gpu final : public Device {
 public:
  Events events{*this};

  // Throws CASTOR_DEVICE with the reason if the GPU cannot be used.
  explicit Gpu(int ordinal);

  Memory allocate(int64_t bytes) override;
  void release(Memory memory, int64_t bytes) override;
  void release_cached() override;
  int64_t cached_bytes() override;
  int64_t memory_total() override { return segments_->total(); }
  int64_t memory_available() override { return segments_->available(); }
  int64_t memory_elsewhere() override { return segments_->elsewhere(); }
  void set_memory_fraction(double fraction) override { segments_->limit_to(fraction); }

  void use(Block &block) override;
  void write(void *to, const void *host, int64_t bytes) override;
  void read(const void *from, void *host, int64_t bytes) override;
  void send(const void *from, Device &target, void *to, int64_t bytes) override;
  std::shared_ptr<Reading> start_read(const void *from, int64_t bytes) override;
  std::shared_ptr<Completion> mark() override { return start_read(nullptr, 0); }
  void synchronize() override;
  std::unique_ptr<Capture> begin_capture(uint64_t seed, uint64_t offset) override;
  Notifier &notifier() override { return stream().notifier; }
  std::string describe() override;
  [[noreturn]] void fail_lost() override;

  // Makes this the device of the thread's CUDA calls.
  void make_current();
  // The same for a thread that queues no work, such as one that waits for events: it gets no stream. CUDA would give a thread that names no
  // device the first GPU, and set up a context on it, of hundreds of megabytes.
  void attend();

  // The stream of this thread.
  Stream &stream();
  Stream &join();
  Stream *own_stream(Stream *&own);
  void leave(Stream &stream);
  // The context of the capture of this thread on the device, else that of its stream.
  Context &context_now();
  Segments &segments() { return *segments_; }

  void launched(const char *name);
  bool lost() const { return !kernels.load(std::memory_order_relaxed); }
  // Called after an error from which the CUDA context does not recover.
  [[noreturn]] void lose(const std::string &what_happened);
  // Lets this GPU write to the memory of another without a detour through the host, if the hardware can.
  void reach(Gpu &other);
  // A kernel that needs more than SHARED_UNASKED bytes of shared memory has to be allowed it once.
  void allow_shared(const void *kernel, int64_t bytes, const char *name);

 private:
  static constexpr uint32_t REMEMBERED = 16;

  cudaDeviceProp properties_;
  Context common_;  // the fields that the contexts of all streams share
  std::unique_ptr<Segments> segments_;
  Pinned pinned_source_{*this};
  MemoryPool *pinned_;

  std::mutex streams_lock_;
  std::atomic<Stream *> streams_[Stream::MOST] = {};  // the first stream_count_ exist, and are never removed
  int users_[Stream::MOST] = {};                      // number of threads
  int stream_count_ = 0;

  std::atomic<uint64_t> reached_{0};  // bit k is set if reach() has been called for GPU k

  std::mutex mutex_;  // guards the two members below
  std::string loss_;
  std::unordered_map<const void *, int64_t> allowed_shared_;

  std::atomic<uint32_t> launches_{0};
  std::atomic<const char *> launch_names_[REMEMBERED] = {};

  Stream &home_of(const Block &block) { return *streams_[block.pool->stream]; }
  template <class F> void each_stream(F &&f);
  std::string last_launches();
};

// ---- availability.cpp ------------------------------------------------------------------------------------------

// Throws CASTOR_DEVICE with the reason, unless CUDA's driver knows a GPU of this number.
void expect_gpu(int ordinal);
// The same for an error that occurred while a GPU was set up.
[[noreturn]] void fail_setup(int ordinal, const cudaDeviceProp *properties, cudaError_t error);

// ---- graph.cu --------------------------------------------------------------------------------------------------

// Writes base in the order of the stream: a seed, and the number to add to the offsets.
void set_random_base(Context &context, uint64_t *base, uint64_t seed, uint64_t added);
// A kernel that does nothing. If it runs, the library has code for the architecture.
cudaError_t probe(cudaStream_t stream);
// The architectures that this library has code for: "sm_80, sm_90".
std::string architectures();

}  // namespace castor::cuda
