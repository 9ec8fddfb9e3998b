#include "notify.h"
#include <thread>
#include "capture.h"
#include "error.h"

using namespace castor;

namespace castor {

// Of this thread: JavaScript workers share the library, and each has callbacks of its own.
static thread_local Wake wake_function = nullptr;

Wake expect_wake() {
  if (!wake_function) fail(CASTOR_ARGUMENT, "set_wake has not been called on this thread");
  return wake_function;
}

// One thread a device: work on one device ends in the order in which it was queued.
Notifier::Notifier() { std::thread(&Notifier::serve, this).detach(); }

void Notifier::post(Wake wake, double id, std::shared_ptr<Completion> work) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back({wake, id, std::move(work)});
  }
  posted_.notify_one();
}

Notifier::Waiting Notifier::next() {
  std::unique_lock<std::mutex> lock(mutex_);
  posted_.wait(lock, [&] { return !queue_.empty(); });
  Waiting waiting = std::move(queue_.front());
  queue_.pop_front();
  return waiting;
}

void Notifier::serve() {
  for (;;) {
    Waiting waiting = next();
    if (waiting.work) waiting.work->wait();
    waiting.work.reset();
    waiting.wake(waiting.id);
  }
}

// Never destroyed: its thread may outlive main.
Notifier &Device::notifier() {
  static std::mutex making;
  if (Notifier *made = notifier_.load()) return *made;
  std::lock_guard<std::mutex> lock(making);
  if (!notifier_.load()) notifier_ = new Notifier;
  return *notifier_.load();
}

}  // namespace castor

int32_t castor_set_wake(castor_address callback) {
  return guard("set_wake", [&] {
    if (!(callback > 0 && callback < 0x1p53)) fail(CASTOR_ARGUMENT, "%.17g is not the address of a function", callback);
    wake_function = reinterpret_cast<Wake>(uintptr_t(callback));
  });
}

int32_t castor_notify(int32_t id_of_device, double id) {
  return guard("notify", [&] {
    Device &device = find_device(id_of_device);
    expect_no_capture(device, "waiting for the device", READ_AFTER);
    const Wake wake = expect_wake();
    device.notifier().post(wake, id, device.mark());
  });
}
