// The threads that do the work of streams. Streams with the same number of threads for their kernels share lanes, as many as fit on the
// processors side by side. A lane works for one stream as long as it has work, and then for the one that has had some for longest, so that
// requests which came first are answered first, and few of them hold memory at once.
#include "lanes.h"
#include <algorithm>
#include <list>
#include <map>
#include <thread>
#include "../abi/error.h"
#include "../abi/stream.h"
#include "threads.h"

namespace castor {
namespace {

// Runs work, and returns why it failed, or null.
Failure attempt(Work &work) {
  try {
    work.run();
    return nullptr;
  } catch (const Error &error) {
    return std::make_shared<Error>(Error{error.status, work.name() + ": " + error.message});
  } catch (const std::bad_alloc &) {
    return std::make_shared<Error>(Error{CASTOR_OUT_OF_MEMORY, work.name() + ": out of host memory"});
  } catch (const std::exception &error) {
    return std::make_shared<Error>(Error{CASTOR_INTERNAL, work.name() + ": " + error.what()});
  }
}

// The lanes of streams whose kernels use the same number of threads.
class Lanes {
 public:
  explicit Lanes(int threads) : threads_(threads) {}

  void wake(const std::shared_ptr<Stream> &stream) {
    if (!stream->listed) stream->place = streams_.insert(streams_.end(), stream);
    stream->listed = true;
    if (sleepers_ > 0) awake_.notify_one();
    else if (lanes_ < most()) spawn();
  }

  void remove(Stream &stream) {
    streams_.erase(stream.place);
    stream.listed = false;
  }

  // The lane that did the work goes on with the same stream.
  void wake_for_others(const Stream &than) {
    if (sleepers_ == 0) return;
    for (const auto &stream : streams_) {
      if (stream.get() != &than && stream->ready()) return awake_.notify_one();
    }
  }

 private:
  const int threads_;
  std::list<std::shared_ptr<Stream>> streams_;  // those with work, the one that has had some for longest first
  std::condition_variable awake_;
  int lanes_ = 0, sleepers_ = 0;

  std::shared_ptr<Stream> oldest_ready() const {
    const auto found = std::find_if(streams_.begin(), streams_.end(), [](const auto &stream) { return stream->ready(); });
    return found == streams_.end() ? nullptr : *found;
  }

  int most() const { return threads_ == 0 ? 1 : std::max(1, thread_count() / threads_); }

  void spawn() {
    lanes_++;
    std::thread(&Lanes::serve, this).detach();
  }

  void serve() {
    if (threads_ > 0) use_own_threads(threads_);
    std::shared_ptr<Stream> stream;
    std::unique_lock<std::mutex> lock(streams_lock);
    for (;;) {
      if (!stream || !stream->ready()) stream = oldest_ready();
      if (!stream) {
        sleepers_++;
        awake_.wait(lock);
        sleepers_--;
        continue;
      }
      Failure failure;
      const std::unique_ptr<Work> work = stream->pop(failure);
      lock.unlock();
      if (failure) work->dropped(failure);
      else failure = attempt(*work);
      stream->end(*work, failure);
      lock.lock();
    }
  }
};

// Never destroyed, because the threads may run longer than main.
std::map<int, Lanes> &lanes = *new std::map<int, Lanes>;

Lanes &lanes_with(int threads) { return lanes.try_emplace(threads, threads).first->second; }

}  // namespace

void wake_lanes(const std::shared_ptr<Stream> &stream) { lanes_with(stream->threads).wake(stream); }

void wake_lanes_after(Stream &stream, bool rests) {
  if (rests) lanes_with(stream.threads).remove(stream);
  for (auto &each : lanes) each.second.wake_for_others(stream);
}

}  // namespace castor
