// A thread that gives memory back to the system which has been cached and not used for some time. It sleeps while nothing is cached.
#include "decay.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <system_error>
#include <thread>
#include "cache.h"

namespace castor {
namespace {

constexpr double SECONDS = 4, MOST_SECONDS = 1e6;

// CASTOR_CACHE_SECONDS. A value that is not a number above 0 counts as unset.
std::chrono::duration<double> period() {
  const char *text = std::getenv("CASTOR_CACHE_SECONDS");
  char *end = nullptr;
  const double seconds = text ? std::strtod(text, &end) : 0;
  return std::chrono::duration<double>(end != text && seconds > 0 ? std::min(seconds, MOST_SECONDS) : SECONDS);
}

class Decay {
 public:
  void wake() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!started_) start();
    awake_.store(started_, std::memory_order_relaxed);
    changed_.notify_one();
  }
  bool awake() const { return awake_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> awake_{false};
  bool started_ = false;

  // If no thread can be started, memory stays cached until it is released.
  void start() {
    try {
      std::thread(&Decay::serve, this).detach();
      started_ = true;
    } catch (const std::system_error &) {
    }
  }

  void serve() {
    const auto pause = period();
    for (;;) {
      std::this_thread::sleep_for(pause);
      std::unique_lock<std::mutex> lock(mutex_);
      // A block that is freed after this line wakes the thread again.
      awake_.store(false);
      lock.unlock();
      const bool left = release_idle();
      lock.lock();
      if (left) awake_.store(true);
      changed_.wait(lock, [&] { return awake_.load(); });
    }
  }
};

// Never destroyed, because the thread may run longer than main.
Decay &decay = *new Decay;

}  // namespace

void note_cached() {
  if (!decay.awake()) decay.wake();
}

}  // namespace castor
