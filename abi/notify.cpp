#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include "device.h"
#include "error.h"

using namespace castor;

namespace {

using Wake = void (*)(double id);
std::atomic<Wake> wake{nullptr};

// Calls the wake function from a thread of its own, so that it never runs inside the call that asked for it.
class Notifier {
 public:
  Notifier() { std::thread(&Notifier::serve, this).detach(); }

  void post(double id) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ids_.push_back(id);
    }
    posted_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<double> ids_;

  void serve() {
    for (;;) wake.load()(next());
  }

  double next() {
    std::unique_lock<std::mutex> lock(mutex_);
    posted_.wait(lock, [&] { return !ids_.empty(); });
    const double id = ids_.front();
    ids_.pop_front();
    return id;
  }
};

// Never destroyed: its thread may outlive main.
Notifier &notifier() {
  static Notifier &one = *new Notifier;
  return one;
}

}  // namespace

int32_t castor_set_wake(castor_address callback) {
  return guard("set_wake", [&] {
    if (!(callback > 0 && callback < 0x1p53)) fail(CASTOR_ARGUMENT, "%.17g is not the address of a function", callback);
    wake = reinterpret_cast<Wake>(uintptr_t(callback));
  });
}

// On a device that runs inline all work is done by now.
int32_t castor_notify(int32_t device, double id) {
  return guard("notify", [&] {
    find_device(device).synchronize();
    if (!wake.load()) fail(CASTOR_ARGUMENT, "set_wake has not been called");
    notifier().post(id);
  });
}
