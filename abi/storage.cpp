// The functions of the ABI for storages: allocating, freeing, reading, writing and memory statistics.
#include <cstring>
#include "capture.h"
#include "check.h"
#include "error.h"
#include "storage.h"
#include "stream.h"

using namespace castor;

namespace castor {

Range find_range(double handle, double offset, double bytes) {
  const Storage storage = find_storage(handle);
  const int64_t from = expect_whole(offset, "offset"), length = expect_whole(bytes, "length");
  if (from + length > storage.bytes) {
    fail(CASTOR_SHAPE, "bytes %lld to %lld are not within a storage of %lld bytes", (long long)from, (long long)(from + length),
         (long long)storage.bytes);
  }
  if (!storage.device->kernels) storage.device->fail_lost();
  if (storage.block) storage.device->use(*storage.block);
  return {storage, from, length};
}

namespace {

// A copy of host data into a storage that earlier work of the stream uses.
class Write final : public Work {
 public:
  Write(StorageUse use, int64_t offset, const void *host, int64_t bytes)
      : offset_(offset), data_(static_cast<const char *>(host), static_cast<const char *>(host) + bytes) {
    view_.data = use.storage->late ? nullptr : use.storage->data.load();
    view_.deferred = use.storage->late ? use.storage.get() : nullptr;
  }
  std::string name() const override { return "write"; }
  void run() override {
    place(view_);
    std::memcpy(view_.as<char>() + offset_, data_.data(), data_.size());
  }

 private:
  const int64_t offset_;
  const std::vector<char> data_;
  View view_;
};

// Returns false where the bytes can be written at once.
bool write_later(double handle, const Range &range, const void *host) {
  Stream *const stream = stream_for(range.device());
  if (!stream || !has_work(handle)) return false;
  forget_uses();
  note_use(handle, range.storage, Access::write);
  stream->push(std::make_unique<Write>(noted_uses().back(), range.offset, host, range.bytes));
  return true;
}

}  // namespace

}  // namespace castor

castor_handle castor_alloc(int32_t device, double bytes) {
  double handle = 0;
  set_last_status(guard("alloc", [&] { handle = create_storage(find_device(device), expect_whole(bytes, "length")).handle; }));
  return handle;
}

int32_t castor_free(castor_handle storage) {
  return guard("free", [&] { destroy_storages(&storage, 1); });
}

int32_t castor_free_many(const double *handles, int32_t count) {
  return guard("free_many", [&] {
    if (count < 0) fail(CASTOR_ARGUMENT, "%d is not a number of handles", count);
    if (count > 0) expect_pointer(handles, "handles");
    destroy_storages(handles, count);
  });
}

castor_handle castor_share(castor_handle storage) {
  double handle = 0;
  set_last_status(guard("share", [&] {
    Storage found = find_storage(storage);
    if (deferring()) settle(storage, found, Access::write);
    handle = share_storage(storage);
  }));
  return handle;
}

int32_t castor_write(castor_handle storage, double offset, const void *host, double bytes) {
  return guard("write", [&] {
    Range range = find_range(storage, offset, bytes);
    if (range.bytes > 0) expect_pointer(host, "host");
    expect_unshared(storage, "the storage");
    expect_no_capture(range.device(), "host data",
                      "Make the tensor before, and copy new data into it before each replay; full() and zeros() may stay");
    if (deferring() || !range.storage.data) {
      if (write_later(storage, range, host)) return;
      settle(storage, range.storage, Access::write);
    }
    range.device().write(range.data(), host, range.bytes);
  });
}

int32_t castor_read(castor_handle storage, double offset, void *host, double bytes) {
  return guard("read", [&] {
    Range range = find_range(storage, offset, bytes);
    if (range.bytes > 0) expect_pointer(host, "host");
    expect_no_capture(range.device(), "reading a tensor", READ_AFTER);
    if (deferring() || !range.storage.data) settle(storage, range.storage, Access::read);
    range.device().read(range.data(), host, range.bytes);
  });
}

int32_t castor_synchronize(int32_t device) {
  return guard("synchronize", [&] {
    Device &known = find_device(device);
    expect_no_capture(known, "waiting for the device", READ_AFTER);
    known.synchronize();
  });
}

int32_t castor_memory(int32_t id, double *stats) {
  return guard("memory", [&] {
    expect_pointer(stats, "stats");
    Device &device = find_device(id);
    const Ledger ledger = read_ledger(device);
    const int64_t values[] = {ledger.live,        ledger.storages, ledger.peak,           cached_bytes(device),
                              ledger.allocations, ledger.limit,    device.memory_total(), device.memory_available(),
                              ledger.wanted,      graph_bytes(device)};
    for (const int64_t value : values) *stats++ = double(value);
  });
}

int32_t castor_memory_reset_peak(int32_t device) {
  return guard("memory_reset_peak", [&] { reset_peak(find_device(device)); });
}

int32_t castor_memory_release_cached(int32_t device) {
  return guard("memory_release_cached", [&] { release_cached(find_device(device)); });
}

int32_t castor_memory_expect(int32_t id, double bytes) {
  return guard("memory_expect", [&] {
    Device &device = find_device(id);
    const int64_t wanted = expect_whole(bytes, "length");
    if (!device.has_room(wanted)) fail_out_of_memory(device, wanted);
  });
}

int32_t castor_memory_set_fraction(int32_t device, double fraction) {
  return guard("memory_set_fraction", [&] {
    if (!(fraction > 0 && fraction <= 1))
      fail(CASTOR_ARGUMENT, "%g is not a share of the memory. Pass a number above 0 and up to 1", fraction);
    find_device(device).set_memory_fraction(fraction);
  });
}

int32_t castor_memory_set_limit(int32_t device, double bytes) {
  return guard("memory_set_limit", [&] { set_limit(find_device(device), expect_whole(bytes, "limit")); });
}
