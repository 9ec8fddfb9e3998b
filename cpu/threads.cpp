// The thread pool of the CPU kernels. Each thread has a share of the chunks, and when it has run those it takes from the shares of others.
// The shares of one size are the same for every op, so that a thread finds what it wrote for the last op in the cache of its core. Workers
// spin for a short time before they sleep, because the next op usually follows soon.
#include "threads.h"
#include <sched.h>
#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include "machine.h"

namespace castor {
namespace {

constexpr int MAX_THREADS = 1024;
constexpr std::chrono::microseconds SPIN(50);  // about the time that a sleeping thread takes to wake
constexpr int64_t CLOSED = INT64_MIN / 2;

thread_local bool inside = false;  // this thread is running a chunk, so that nested calls run inline

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

// CASTOR_NUM_THREADS, at most MAX_THREADS. A value that is not an integer above 0 counts as unset.
int initial_count() {
  const char *text = std::getenv("CASTOR_NUM_THREADS");
  if (!text || !*text) return usable_cpus();
  char *end;
  const double count = std::strtod(text, &end);
  while (std::isspace(static_cast<unsigned char>(*end))) end++;
  if (*end || !(count >= 1) || count != std::floor(count)) return usable_cpus();
  return int(std::min<double>(count, MAX_THREADS));
}

// Runs one job at a time. The caller opens the gate, works itself, closes the gate and waits until the workers that came in have left. A
// worker that wakes too late finds the gate closed, so a job never waits for a sleeping thread.
class Pool {
 public:
  std::atomic<int> count;

  explicit Pool(int count) : count(std::min(count, MAX_THREADS)) {}

  void run(int64_t n, int64_t grain, Chunk chunk, const void *body) {
    job_ = {n, grain, chunk, body};
    divide((n - 1) / grain + 1);
    gate_.fetch_sub(CLOSED, std::memory_order_release);
    wake();
    work(0);
    gate_.fetch_add(CLOSED, std::memory_order_acquire);
    for (int spins = 0; gate_.load(std::memory_order_acquire) != CLOSED; spins++) spins < 4096 ? relax() : void(sched_yield());
    if (failed_.load(std::memory_order_relaxed)) rethrow();
  }

  std::mutex owner;

 private:
  struct Job { int64_t n, grain; Chunk chunk; const void *body; };
  // The chunks [next, end) of one thread. The caller has number 0.
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
    bool empty() const { return next.load(std::memory_order_relaxed) >= end; }
  };

  Job job_{};
  Share shares_[MAX_THREADS];
  int sharers_ = 0;
  alignas(64) std::atomic<int64_t> gate_{CLOSED};  // number of workers inside, plus CLOSED if the gate is closed
  alignas(64) std::atomic<uint64_t> epoch_{0};     // number of jobs so far
  std::atomic<int> sleepers_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;
  std::mutex mutex_;
  std::condition_variable awake_;
  int spawned_ = 0;

  void wake() {
    while (spawned_ < count.load(std::memory_order_relaxed) - 1 && spawn()) {}
    epoch_.fetch_add(1);
    if (sleepers_.load() == 0) return;
    { std::lock_guard<std::mutex> lock(mutex_); }
    awake_.notify_all();
  }

  // The thread is detached, so that an idle worker does not keep the process from ending.
  bool spawn() {
    try {
      std::thread(&Pool::serve, this, spawned_, epoch_.load()).detach();
    } catch (const std::system_error &) {
      count.store(spawned_ + 1);
      return false;
    }
    return ++spawned_;
  }

  void serve(int index, uint64_t seen) {
    for (;;) {
      seen = wait(seen);
      if (index >= count.load(std::memory_order_relaxed) - 1) continue;
      if (gate_.fetch_add(1, std::memory_order_acquire) >= 0) work(index + 1);
      gate_.fetch_sub(1, std::memory_order_release);
    }
  }

  uint64_t wait(uint64_t seen) {
    const auto end = std::chrono::steady_clock::now() + SPIN;
    do {
      for (int i = 0; i < 64; i++, relax()) {
        const uint64_t now = epoch_.load(std::memory_order_acquire);
        if (now != seen) return now;
      }
    } while (std::chrono::steady_clock::now() < end);
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    awake_.wait(lock, [&] { return epoch_.load() != seen; });
    sleepers_.fetch_sub(1);
    return epoch_.load();
  }

  void divide(int64_t chunks) {
    sharers_ = int(std::min<int64_t>(count.load(std::memory_order_relaxed), chunks));
    for (int i = 0; i < sharers_; i++) {
      shares_[i].end = chunks * (i + 1) / sharers_;
      shares_[i].next.store(chunks * i / sharers_, std::memory_order_relaxed);
    }
  }

  void work(int own) {
    inside = true;
    for (int i = 0; i < sharers_; i++) work_on(shares_[(own + i) % sharers_]);
    inside = false;
  }

  void work_on(Share &share) {
    while (!share.empty() && !failed_.load(std::memory_order_relaxed)) {
      const int64_t k = share.next.fetch_add(1, std::memory_order_relaxed);
      if (k >= share.end) return;
      try {
        job_.chunk(job_.body, k * job_.grain, std::min(job_.n, (k + 1) * job_.grain));
      } catch (...) {
        if (!failed_.exchange(true)) failure_ = std::current_exception();
      }
    }
  }

  void rethrow() {
    failed_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
};

// Never destroyed, because workers may run longer than main.
Pool &pool() {
  static Pool &one = *new Pool(initial_count());
  return one;
}

thread_local Pool *own = nullptr;
Pool &pool_here() { return own ? *own : pool(); }

}  // namespace

int thread_count() { return pool_here().count.load(std::memory_order_relaxed); }

void use_own_threads(int count) { own = new Pool(count); }

void set_thread_count(int count) {
  std::lock_guard<std::mutex> lock(pool().owner);
  pool().count.store(std::min(count, MAX_THREADS));
}

// If another thread of the user is using the pool, its cores are busy and waiting for them would gain nothing: the chunks run inline.
void run_chunks(int64_t n, int64_t grain, Chunk chunk, const void *body) {
  if (!inside && thread_count() > 1) {
    Pool &threads = pool_here();
    std::unique_lock<std::mutex> lock(threads.owner, std::try_to_lock);
    if (lock) return threads.run(n, grain, chunk, body);
  }
  for (int64_t begin = 0; begin < n; begin += grain) chunk(body, begin, std::min(n, begin + grain));
}

}  // namespace castor
