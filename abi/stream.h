// Streams of the CPU: queues of calls that threads of the library make in order, while the thread that queued them goes on.
#pragma once
#include <condition_variable>
#include <deque>
#include <list>
#include "deferred.h"

namespace castor {

// One thing that a stream has to do: a call of a kernel, a copy, or telling a thread that all before is done.
class Work {
 public:
  virtual ~Work() = default;
  virtual std::string name() const = 0;     // for error messages
  virtual void run() = 0;
  virtual void dropped(const Failure &) {}  // in place of run(), after a failure
  virtual void ended() {}                   // after either, when the work counts as done

 private:
  friend class Stream;
  std::vector<StorageUse> uses_;
  std::vector<Ticket> after_;  // work of other streams that has to be done before
};

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  const int threads;  // that each of its kernels may use; 0: all

  explicit Stream(int threads) : threads(threads) {}

  // Adds work that uses what this thread has noted.
  void push(std::unique_ptr<Work> work);
  // Drops the work that has not begun, and all that is added later.
  void cancel();
  // Returns the failure of its work, and forgets it: what is added from now on runs.
  Failure take_failure();
  void forget_failure(const Failure &failure);

  // For the threads that do the work. The caller holds streams_lock, except for end().
  bool listed = false;  // is it in the list of its lanes, and where
  std::list<std::shared_ptr<Stream>>::iterator place;
  bool ready();
  std::unique_ptr<Work> pop(Failure &dropped_by);
  void end(Work &work, const Failure &failure);

  // For those that wait, or look.
  bool fails_with(const Failure &failure) const { return failure_ == failure; }
  Ticket last() { return {shared_from_this(), queued_}; }
  bool has_done(int64_t number) const { return done_ >= number; }

 private:
  std::deque<std::unique_ptr<Work>> works_;
  int64_t queued_ = 0, done_ = 0, dropped_to_ = 0;
  bool running_ = false, cancelled_ = false;
  Failure failure_, dropped_by_;

  void order_after(const StorageUse &use, Work &work);
};

inline bool is_done(const Ticket &ticket) { return !ticket.stream || ticket.stream->has_done(ticket.number); }
// The lock is that of streams_lock, and released meanwhile.
void wait_for(std::unique_lock<std::mutex> &lock, const Ticket &ticket);
void wait_for_streams();
// Completes with the work that all streams have now; null if there is none.
std::shared_ptr<Completion> mark_streams();

// The stream that takes the calls of this thread to the CPU, or null.
std::shared_ptr<Stream> &stream_here();
void use_stream(std::shared_ptr<Stream> stream);
const Backend &stream_kernels();  // those that add the calls to it
inline Stream *stream_for(const Device &device) { return deferring() && device.id == CASTOR_CPU ? stream_here().get() : nullptr; }

// While it exists, the calls of this thread run at once.
class AtOnce {
 public:
  AtOnce() : stream_(stream_here()) { use_stream(nullptr); }
  ~AtOnce() { use_stream(std::move(stream_)); }

 private:
  std::shared_ptr<Stream> stream_;
};

}  // namespace castor
