// Tells JavaScript threads when their queued work is done.
#include "notify.h"
#include <thread>
#include "capture.h"
#include "check.h"
#include "error.h"

using namespace castor;

namespace castor {

// Both belong to the calling thread: JavaScript workers share the library, and each is told only of its own work.
static thread_local Wake wake_function = nullptr;
static thread_local std::shared_ptr<Inbox> inbox;

Notice notice_here(double id) {
  if (!inbox) inbox = std::make_shared<Inbox>();
  return {wake_function, inbox, id};
}

void Notifier::post(double id, std::shared_ptr<Completion> work) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back({notice_here(id), std::move(work)});
    if (!serving_) std::thread(&Notifier::serve, this).detach();
    serving_ = true;
  }
  posted_.notify_one();
}

void Inbox::put(double id) {
  std::lock_guard<std::mutex> lock(mutex_);
  done_.push_back(id);
}

double Inbox::take() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (done_.empty()) return 0;
  const double id = done_.front();
  done_.pop_front();
  return id;
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
    waiting.notice.send();
  }
}

double expect_id(double id) {
  if (expect_whole(id, "id") == 0) fail(CASTOR_ARGUMENT, "0 is not an id");
  return id;
}

}  // namespace castor

int32_t castor_set_wake(castor_address callback) {
  return guard("set_wake", [&] {
    if (!(callback > 0 && callback < 0x1p53)) fail(CASTOR_ARGUMENT, "%.17g is not the address of a function", callback);
    wake_function = reinterpret_cast<Wake>(uintptr_t(callback));
  });
}

double castor_next_done() { return inbox ? inbox->take() : 0; }

int32_t castor_notify(int32_t id_of_device, double id) {
  return guard("notify", [&] {
    Device &device = find_device(id_of_device);
    expect_no_capture(device, "waiting for the device", READ_AFTER);
    device.notifier().post(expect_id(id), device.mark());
  });
}
