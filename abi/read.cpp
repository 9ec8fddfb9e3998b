// Asynchronous reads: JavaScript does not wait for them.
#include <unordered_map>
#include "capture.h"
#include "check.h"
#include "error.h"
#include "notify.h"
#include "storage.h"

using namespace castor;

// The reads that this thread has started and not finished, by the ids that it chose.
static thread_local std::unordered_map<double, std::shared_ptr<Reading>> readings;

int32_t castor_read_start(castor_handle storage, double offset, double bytes, double id) {
  return guard("read_start", [&] {
    const Range range = find_range(storage, offset, bytes);
    expect_no_capture(range.device, "reading a tensor", READ_AFTER);
    expect_id(id);
    if (readings.count(id)) fail(CASTOR_ARGUMENT, "a read with the id %.17g is under way already", id);
    const std::shared_ptr<Reading> reading = range.device.start_read(range.data, range.bytes);
    readings[id] = reading;
    range.device.notifier().post(id, reading);
  });
}

int32_t castor_read_finish(double id, void *host) {
  return guard("read_finish", [&] {
    const auto found = readings.find(id);
    if (found == readings.end()) fail(CASTOR_ARGUMENT, "there is no read with the id %.17g", id);
    const std::shared_ptr<Reading> reading = std::move(found->second);
    readings.erase(found);
    if (reading->bytes > 0) expect_pointer(host, "host");
    reading->wait();
    reading->copy_to(host);
  });
}
