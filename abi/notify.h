// A thread that waits for a device, so that no thread of JavaScript has to.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include "device.h"

namespace castor {

using Wake = void (*)(double id);

// What is done, for a thread that asks.
class Inbox {
 public:
  void put(double id);
  double take();  // 0: nothing

 private:
  std::mutex mutex_;
  std::deque<double> done_;
};

double expect_id(double id);

// One for each stream, whose work ends in the order in which it was queued. Never destroyed: its thread may outlive main.
class Notifier {
 public:
  // Tells the calling thread when the work is done or has failed; nothing to wait for is work that is done.
  void post(double id, std::shared_ptr<Completion> work);

 private:
  struct Waiting {
    Wake wake;
    std::shared_ptr<Inbox> inbox;
    double id;
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
