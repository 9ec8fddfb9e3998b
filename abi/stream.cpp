// The queues of streams, and the functions of the ABI for them.
#include "stream.h"
#include <unordered_map>
#include "../cpu/lanes.h"
#include "../cpu/recorder.h"
#include "check.h"
#include "error.h"
#include "notify.h"

using namespace castor;

namespace castor {
namespace {

std::condition_variable progress;  // work has ended
int waiting = 0;

// The streams by their handles.
std::unordered_map<double, std::shared_ptr<Stream>> &streams = *new std::unordered_map<double, std::shared_ptr<Stream>>;
double last_stream = 0;

std::shared_ptr<Stream> find_stream(double handle) {
  std::lock_guard<std::mutex> lock(streams_lock);
  const auto found = streams.find(handle);
  if (found == streams.end()) fail(CASTOR_DISPOSED, "%.17g is not the handle of a stream", handle);
  return found->second;
}

// A call of a kernel.
class Kernel final : public Work {
 public:
  Kernel(const Backend &kernels, std::unique_ptr<Step> step) : kernels_(kernels), step_(std::move(step)) {}
  std::string name() const override { return step_->op < 0 ? step_->kind : name_of_op(step_->kind, step_->op); }
  void run() override { step_->run(kernels_, {0, 0, true}); }

 private:
  const Backend &kernels_;
  const std::unique_ptr<Step> step_;
};

// The stream of a thread, which takes its calls. A thread that ends, such as a Worker that is terminated, gives it back.
struct Here final : Recording {
  std::shared_ptr<Stream> stream;
  ~Here() { use_stream(nullptr); }
  void add(std::unique_ptr<Step> step) override {
    stream->push(std::make_unique<Kernel>(*find_device(CASTOR_CPU).kernels.load(), std::move(step)));
  }
};
thread_local Here here;

class AllStreams final : public Completion {
 public:
  explicit AllStreams(std::vector<Ticket> tickets) : tickets_(std::move(tickets)) {}
  void wait() override {
    std::unique_lock<std::mutex> lock(streams_lock);
    for (const Ticket &ticket : tickets_) wait_for(lock, ticket);
  }

 private:
  const std::vector<Ticket> tickets_;
};

// Tells a thread that all work before is done or dropped.
class News final : public Work {
 public:
  explicit News(double id) : notice_(notice_here(id)) {}
  std::string name() const override { return "notify"; }
  void run() override {}
  void ended() override { notice_.send(); }

 private:
  Notice notice_;
};

}  // namespace

void wait_for(std::unique_lock<std::mutex> &lock, const Ticket &ticket) {
  waiting++;
  progress.wait(lock, [&] { return is_done(ticket); });
  waiting--;
}

std::shared_ptr<Stream> &stream_here() { return here.stream; }

void use_stream(std::shared_ptr<Stream> stream) {
  if (deferring()) forget_uses();
  deferrals += int(stream != nullptr) - int(here.stream != nullptr);
  here.stream = std::move(stream);
  recording = here.stream ? &here : nullptr;
}

const Backend &stream_kernels() { return recorder(); }

std::shared_ptr<Completion> mark_streams() {
  if (!deferring()) return nullptr;
  std::lock_guard<std::mutex> lock(streams_lock);
  std::vector<Ticket> tickets;
  for (const auto &named : streams) tickets.push_back(named.second->last());
  return std::make_shared<AllStreams>(std::move(tickets));
}

void Stream::push(std::unique_ptr<Work> work) {
  std::lock_guard<std::mutex> lock(streams_lock);
  queued_++;
  work->uses_ = noted_uses();
  for (const StorageUse &use : work->uses_) order_after(use, *work);
  works_.push_back(std::move(work));
  wake_lanes(shared_from_this());
}

void Stream::order_after(const StorageUse &use, Work &work) {
  Deferred &storage = *use.storage;
  storage.works++;
  const auto after = [&](const Ticket &ticket) {
    if (ticket.stream.get() != this && !is_done(ticket)) work.after_.push_back(ticket);
  };
  after(storage.written);
  if (use.access == Access::read) {
    for (Ticket &ticket : storage.read) {
      if (ticket.stream.get() == this) return void(ticket.number = queued_);
    }
    return storage.read.push_back(last());
  }
  for (const Ticket &ticket : storage.read) after(ticket);
  storage.read.clear();
  storage.written = last();
}

void Stream::cancel() {
  std::lock_guard<std::mutex> lock(streams_lock);
  cancelled_ = true;
  failure_ = std::make_shared<Error>(Error{CASTOR_ABORTED, "the work was aborted"});
}

Failure Stream::take_failure() {
  std::lock_guard<std::mutex> lock(streams_lock);
  const Failure taken = failure_;
  if (taken && !cancelled_) {
    dropped_by_ = std::move(failure_);
    failure_ = nullptr;
    dropped_to_ = queued_;
  }
  return taken;
}

void Stream::forget_failure(const Failure &failure) {
  bool known;
  {
    std::lock_guard<std::mutex> lock(streams_lock);
    known = failure_ == failure;
  }
  if (known) take_failure();
}

bool Stream::ready() {
  if (running_ || works_.empty()) return false;
  std::vector<Ticket> &after = works_.front()->after_;
  while (!after.empty() && is_done(after.back())) after.pop_back();
  return after.empty();
}

std::unique_ptr<Work> Stream::pop(Failure &dropped_by) {
  running_ = true;
  std::unique_ptr<Work> work = std::move(works_.front());
  works_.pop_front();
  dropped_by = failure_ ? failure_ : done_ < dropped_to_ ? dropped_by_ : nullptr;
  // Work of another stream that was to compute what this work uses may have failed since this was added.
  for (const StorageUse &use : work->uses_) {
    if (!dropped_by) dropped_by = use.storage->failure;
  }
  return work;
}

void Stream::end(Work &work, const Failure &failure) {
  std::vector<StorageUse> uses = std::move(work.uses_);
  {
    std::lock_guard<std::mutex> lock(streams_lock);
    if (failure && !failure_ && done_ >= dropped_to_) failure_ = failure;
    end_uses(uses, failure);
    running_ = false;
    done_++;
    if (waiting > 0) progress.notify_all();
    wake_lanes_after(*this, works_.empty());
  }
  uses.clear();  // releases the memory of storages that were freed
  work.ended();
}

}  // namespace castor

castor_handle castor_stream_begin(int32_t threads) {
  double handle = 0;
  set_last_status(guard("stream_begin", [&] {
    if (threads < 0) fail(CASTOR_ARGUMENT, "%d is not a number of threads", threads);
    expect_no_capture(find_device(CASTOR_CPU), "work in a stream", "Capture it first, and replay the graph in the stream");
    const auto stream = std::make_shared<Stream>(threads);
    std::lock_guard<std::mutex> lock(streams_lock);
    streams[++last_stream] = stream;
    handle = last_stream;
  }));
  return handle;
}

int32_t castor_stream_use(castor_handle stream) {
  return guard("stream_use", [&] { use_stream(stream == 0 ? nullptr : find_stream(stream)); });
}

int32_t castor_stream_notify(castor_handle stream, double id) {
  return guard("stream_notify", [&] {
    const auto known = find_stream(stream);
    forget_uses();
    known->push(std::make_unique<News>(expect_id(id)));
  });
}

int32_t castor_stream_cancel(castor_handle stream) {
  return guard("stream_cancel", [&] { find_stream(stream)->cancel(); });
}

int32_t castor_stream_end(castor_handle stream) {
  return guard("stream_end", [&] {
    const auto known = find_stream(stream);
    if (stream_here() == known) use_stream(nullptr);
    {
      std::lock_guard<std::mutex> lock(streams_lock);
      streams.erase(stream);
    }
    if (const Failure failure = known->take_failure()) throw *failure;
  });
}
