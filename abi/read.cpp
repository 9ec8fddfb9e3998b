// Asynchronous reads: JavaScript does not wait for them.
#include <unordered_map>
#include "capture.h"
#include "check.h"
#include "error.h"
#include "notify.h"
#include "storage.h"
#include "stream.h"

using namespace castor;

// The reads that this thread has started and not finished, by the ids that it chose.
static thread_local std::unordered_map<double, std::shared_ptr<Reading>> readings;

namespace {

// A read of what work of a stream computes: it takes a copy when the work before it is done.
class LaterReading final : public Reading {
 public:
  LaterReading(std::shared_ptr<Stream> stream, int64_t bytes) : Reading(bytes), stream_(std::move(stream)) {}
  void copy_to(void *host) override {
    if (taken_) return taken_->copy_to(host);
    stream_->forget_failure(failure_);
    throw *failure_;
  }
  // Called by the thread that does the work.
  void take(const void *from) { taken_ = find_device(CASTOR_CPU).start_read(from, bytes); }
  void fail(const Failure &failure) { failure_ = failure; }

 private:
  const std::shared_ptr<Stream> stream_;
  std::shared_ptr<Reading> taken_;
  Failure failure_;
};

class Read final : public Work {
 public:
  Read(std::shared_ptr<LaterReading> reading, const StorageUse &use, int64_t offset, double id)
      : reading_(std::move(reading)), offset_(offset), notice_(notice_here(id)) {
    if (use.storage->late) view_.deferred = use.storage.get();
    else view_.data = use.storage->data;
  }
  std::string name() const override { return "read"; }
  void run() override {
    place(view_);
    reading_->take(view_.as<char>() + offset_);
  }
  void dropped(const Failure &failure) override { reading_->fail(failure); }
  void ended() override { notice_.send(); }

 private:
  const std::shared_ptr<LaterReading> reading_;
  const int64_t offset_;
  const Notice notice_;
  View view_;
};

// Starts a read that has to wait for work. Returns null where there is none. Outside of streams it has one of its own, so that it waits
// for the work that writes the storage, and for no other, and that nothing but a failure of that work concerns it.
std::shared_ptr<Reading> read_later(double handle, const Range &range, double id) {
  if (!deferring() || range.device().id != CASTOR_CPU) return nullptr;
  if (stream_here() ? !is_deferred(handle) : !is_written_later(handle)) return nullptr;
  const std::shared_ptr<Stream> stream = stream_here() ? stream_here() : std::make_shared<Stream>(0);
  forget_uses();
  note_use(handle, range.storage, Access::read);
  auto reading = std::make_shared<LaterReading>(stream, range.bytes);
  stream->push(std::make_unique<Read>(reading, noted_uses().back(), range.offset, id));
  forget_uses();
  return reading;
}

}  // namespace

int32_t castor_read_start(castor_handle storage, double offset, double bytes, double id) {
  return guard("read_start", [&] {
    Range range = find_range(storage, offset, bytes);
    expect_no_capture(range.device(), "reading a tensor", READ_AFTER);
    expect_id(id);
    if (readings.count(id)) fail(CASTOR_ARGUMENT, "a read with the id %.17g is under way already", id);
    if (const auto later = read_later(storage, range, id)) return void(readings[id] = later);
    // It may have had no memory when it was looked up, and the work that gave it memory may have ended since, with no other under way.
    if (deferring() || !range.storage.data) settle(storage, range.storage, Access::read);
    const std::shared_ptr<Reading> reading = range.device().start_read(range.data(), range.bytes);
    readings[id] = reading;
    range.device().notifier().post(id, reading);
  });
}

// Takes the read out of the list.
static std::shared_ptr<Reading> take_reading(double id) {
  const auto found = readings.find(id);
  if (found == readings.end()) fail(CASTOR_ARGUMENT, "there is no read with the id %.17g", id);
  std::shared_ptr<Reading> reading = std::move(found->second);
  readings.erase(found);
  return reading;
}

int32_t castor_read_drop(double id) {
  return guard("read_drop", [&] { take_reading(id); });
}

int32_t castor_read_finish(double id, void *host) {
  return guard("read_finish", [&] {
    const std::shared_ptr<Reading> reading = take_reading(id);
    if (reading->bytes > 0) expect_pointer(host, "host");
    reading->wait();
    reading->copy_to(host);
  });
}
