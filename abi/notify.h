// A thread that waits for a device, so that no JavaScript thread has to.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include "device.h"

namespace castor {

using Wake = void (*)(double id);

// The ids of completed work, kept for a thread that asks for them.
class Inbox {
 public:
  void put(double id);
  double take();  // 0 if there is none

 private:
  std::mutex mutex_;
  std::deque<double> done_;
};

double expect_id(double id);

// Tells a thread that work is done.
struct Notice {
  Wake wake;
  std::shared_ptr<Inbox> inbox;
  double id;
  void send() const { wake ? wake(id) : inbox->put(id); }
};
Notice notice_here(double id);  // for the calling thread

// There is one for each stream, whose work ends in the order in which it was queued. It is never destroyed, because its thread may run
// longer than main.
class Notifier {
 public:
  // Tells the calling thread when the work is done or has failed. Null counts as work that is done.
  void post(double id, std::shared_ptr<Completion> work);

 private:
  struct Waiting {
    Notice notice;
    std::shared_ptr<Completion> work;
  };
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<Waiting> queue_;
  bool serving_ = false;

  void serve();
  Waiting next();
};

}  // namespace castor
