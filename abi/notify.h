// A thread that waits for a device, so that no thread of JavaScript has to.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include "device.h"

namespace castor {

using Wake = void (*)(double id);

// The function that this thread's castor_set_wake named.
Wake expect_wake();

class Notifier {
 public:
  Notifier();
  // Calls wake(id) when the work is done or has failed; nothing to wait for is work that is done.
  void post(Wake wake, double id, std::shared_ptr<Completion> work);

 private:
  struct Waiting {
    Wake wake;
    double id;
    std::shared_ptr<Completion> work;
  };
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<Waiting> queue_;

  void serve();
  Waiting next();
};

}  // namespace castor
