// A GPU as a device: its streams, one for each thread, memory, copies, and the reports of errors.
#include "device.h"
#include <algorithm>
#include <bit>
#include <cstring>
#include "../abi/error.h"
#include "../kernels/table.h"
#include "backend.h"
#include "cublas.h"
#include "launch.h"

namespace castor::cuda {

Gpu::Gpu(int ordinal)
    : Device(CASTOR_CUDA + 256 * ordinal, &backend), common_{*this, id, ordinal, 0, 0, 0, nullptr, nullptr, nullptr, nullptr, nullptr} {
  expect_gpu(ordinal);
  const cudaDeviceProp *known = nullptr;
  const auto set_up = [&](cudaError_t error) { if (error != cudaSuccess) fail_setup(ordinal, known, error); };
  set_up(cudaGetDeviceProperties(&properties_, ordinal));
  known = &properties_;
  common_.architecture = properties_.major * 10 + properties_.minor;
  common_.multiprocessors = properties_.multiProcessorCount;
  common_.shared_limit = int64_t(properties_.sharedMemPerBlockOptin);
  set_up(cudaSetDevice(ordinal));
  Context first = common_;
  set_up(open_stream(first));
  set_up(probe(first.stream));
  set_up(cudaStreamSynchronize(first.stream));
  size_t free = 0, total = 0;
  set_up(cudaMemGetInfo(&free, &total));
  segments_ = std::make_unique<Segments>(*this, int64_t(total));
  pinned_ = new MemoryPool(pinned_source_);
  streams_[stream_count_++] = new Stream(0, first, *pinned_);
}

// ---- streams ---------------------------------------------------------------------------------------------------

// Chooses the stream of a thread that has none on this device: an unused one, a new one, or the one that the fewest threads share.
Stream &Gpu::join() {
  std::lock_guard<std::mutex> lock(streams_lock_);
  const int least = int(std::min_element(users_, users_ + stream_count_) - users_);
  if (users_[least] == 0) streams_[least].load()->start_over();
  if (users_[least] == 0 || stream_count_ == Stream::MOST) {
    users_[least]++;
    return *streams_[least];
  }
  Context context = common_;
  check(*this, open_stream(context), "a stream for a thread");
  const int number = stream_count_++;
  streams_[number] = new Stream(number, context, *pinned_);
  users_[number]++;
  return *streams_[number];
}

void Gpu::leave(Stream &stream) {
  std::lock_guard<std::mutex> lock(streams_lock_);
  users_[stream.number]--;
}

template <class F> void Gpu::each_stream(F &&f) {
  std::lock_guard<std::mutex> lock(streams_lock_);
  for (int i = 0; i < stream_count_; i++) f(*streams_[i]);
}

void Gpu::use(Block &block) {
  Stream &mine = stream(), &home = home_of(block);
  std::atomic_ref<uint64_t> users(block.users);
  // Almost always nobody else uses the block. Then nothing is written, because an atomic write takes longer than the rest of this function.
  uint64_t known = users.load(std::memory_order_acquire);
  // The thread that owns the stream waits for the other users, and every user from here on is a new one.
  if (&mine == &home && known != 0) known = users.exchange(0);
  else if (&mine != &home && !(known & mine.bit())) known = users.fetch_or(mine.bit());
  for (uint64_t others = (known | home.bit()) & ~mine.bit(); others; others &= others - 1) mine.after(*streams_[std::countr_zero(others)]);
}

// ---- memory ----------------------------------------------------------------------------------------------------

Memory Gpu::allocate(int64_t bytes) { return stream().context.allocate(bytes); }

void Gpu::release(Memory memory, int64_t) {
  Block *const block = memory.block;
  Stream &home = home_of(*block);
  for (uint64_t others = block->users; others && !lost(); others &= others - 1) home.after(*streams_[std::countr_zero(others)]);
  const bool of_stream = home.context.pool->made(block);  // and not of a graph, whose kernels may use it again
  if (of_stream) mark_free(home.context, memory.data, block->bytes);
  MemoryPool::release(block);
  if (of_stream && segments().alone()) home.context.pool->release_cached();
}

void Gpu::release_cached() {
  make_current();  // this may create a stream, so it is done before the streams are counted
  each_stream([](Stream &stream) { stream.context.pool->release_cached(); });
  pinned_->release_cached();
}

int64_t Gpu::cached_bytes() {
  int64_t bytes = 0;
  each_stream([&](Stream &stream) { bytes += stream.context.pool->cached(); });
  return bytes;
}

// ---- transfers -------------------------------------------------------------------------------------------------

void Gpu::write(void *to, const void *host, int64_t bytes) {
  stream().staging.write(to, host, bytes);
}

void Gpu::read(const void *from, void *host, int64_t bytes) {
  read_now(stream(), *pinned_, from, host, bytes);
}

void Gpu::send(const void *from, Device &target, void *to, int64_t bytes) {
  if (target.id == CASTOR_CPU) return read(from, to, bytes);
  copy_between(stream(), from, static_cast<Gpu &>(target).stream(), to, bytes);
}

std::shared_ptr<Reading> Gpu::start_read(const void *from, int64_t bytes) {
  return std::make_shared<Arrival>(stream(), *pinned_, from, bytes);
}

void Gpu::synchronize() {
  if (lost()) fail_lost();
  Stream &mine = stream();
  check(*this, cudaStreamSynchronize(mine.context.stream), "synchronize");
  mine.check_fault();
}

void Gpu::reach(Gpu &other) {
  const uint64_t bit = uint64_t(1) << other.common_.ordinal;
  if (reached_ & bit) return;
  int can = 0;
  make_current();
  check(*this, cudaDeviceCanAccessPeer(&can, common_.ordinal, other.common_.ordinal), "copy");
  const cudaError_t error = can ? cudaDeviceEnablePeerAccess(other.common_.ordinal, 0) : cudaSuccess;
  // A GPU can reach a few others only. Copies to the rest still pass through the host.
  if (error == cudaErrorPeerAccessAlreadyEnabled || error == cudaErrorTooManyPeers) cudaGetLastError();
  else check(*this, error, "copy");
  reached_ |= bit;
}

// ---- errors ----------------------------------------------------------------------------------------------------

void Gpu::launched(const char *name) {
  const uint32_t n = launches_.load(std::memory_order_relaxed);
  launch_names_[n % REMEMBERED].store(name, std::memory_order_relaxed);
  launches_.store(n + 1, std::memory_order_relaxed);
}

// Threads that launch at the same time may lose an entry, which is acceptable for a hint.
std::string Gpu::last_launches() {
  std::string names;
  const uint32_t end = launches_;
  for (uint32_t n = end - std::min(end, REMEMBERED); n != end; n++)
    names += (names.empty() ? "" : ", ") + std::string(launch_names_[n % REMEMBERED]);
  return names.empty() ? "nothing" : names;
}

void Gpu::lose(const std::string &what_happened) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!lost()) loss_ = what_happened + "; launched before that, the latest last: " + last_launches();
    kernels = nullptr;
  }
  fail_lost();
}

void Gpu::fail_lost() {
  std::lock_guard<std::mutex> lock(mutex_);
  fail(CASTOR_LOST, "device cuda:%d is lost: %s", common_.ordinal, loss_.c_str());
}

// ---- devices ---------------------------------------------------------------------------------------------------

std::string Gpu::describe() {
  if (lost()) fail_lost();
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const auto version = [](int v) { return quoted(std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10)); };
  return "{\"available\":true,\"name\":" + quoted(properties_.name) + ",\"architecture\":" + std::to_string(common_.architecture) +
         ",\"memory\":" + std::to_string(memory_total()) + ",\"multiprocessors\":" + std::to_string(common_.multiprocessors) +
         ",\"driver\":" + version(driver) + ",\"runtime\":" + version(runtime) + ",\"streams\":" + std::to_string(stream_count_) +
         ",\"matmul\":" + quoted(matmul_backend()) +
#if defined(CASTOR_EMULATOR)
         ",\"emulated\":true" +
#endif
         "}";
}

}  // namespace castor::cuda
