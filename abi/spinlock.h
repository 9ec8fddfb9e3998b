// A lock for sections of a few instructions, where a mutex would cost more than the work.
#pragma once
#include <sched.h>
#include <atomic>

namespace castor {

class SpinLock {
 public:
  void lock() {
    for (int spins = 0; locked_.exchange(true, std::memory_order_acquire);) {
      if (++spins % 256 == 0) sched_yield();
    }
  }
  void unlock() { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_{false};
};

}  // namespace castor
