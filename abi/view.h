// Reads castor_views and checks them.
#pragma once
#include <new>
#include "capture.h"
#include "stream.h"

namespace castor {

// The device that the views of one call share. A call whose views are all constants has none.
class Call {
 public:
  Call() {
    if (deferring()) forget_uses();
  }
  const Backend &kernels() const {
    const Backend *kernels = device_->kernels.load(std::memory_order_relaxed);
    if (!kernels) device_->fail_lost();
    Capture *const capture = capturing(*device_);
    if (capture) return capture->kernels();
    return stream_for(*device_) ? stream_kernels() : *kernels;
  }
  Device *device() const { return device_; }
  // Notes that the call works on a storage.
  void enter(castor_handle handle, const Storage &storage) {
    Device &device = *storage.device;
    if (storage.block) device.use(*storage.block);
    if (Capture *capture = capturing(device)) capture->use(handle, storage);
    if (device_ && device_ != &device) fail_devices(device);
    device_ = &device;
  }
  // The random numbers in a graph come from the generator that its capture began with.
  void expect_seed(uint64_t seed) const;

 private:
  [[noreturn]] void fail_devices(const Device &other) const;

  Device *device_ = nullptr;
};

[[noreturn]] void fail_reach(const char *name, DType dtype, double first, double last, int64_t bytes);

// A view and the name that error messages give it.
struct Argument : View {
  const char *name;
};

struct Input : Argument {
  Input(Call &call, const char *name, castor_address address);
};

struct Output : Argument {
  Output(Call &call, const char *name, castor_address address);
};

// An argument that may be absent, in which case it converts to a null pointer.
template <class Kind> class Optional {
 public:
  Optional(Call &call, const char *name, castor_address address) {
    if (address != 0) view_ = new (&place_) Kind(call, name, address);
  }
  operator const Kind *() const { return view_; }
  const Kind *get() const { return view_; }

 private:
  alignas(Kind) unsigned char place_[sizeof(Kind)];
  Kind *view_ = nullptr;
};

// n elements of dtype from the start of a storage, as a tensor of one axis.
struct Flat : View {
  Flat(Call &call, const char *name, castor_handle handle, DType dtype, int64_t n, Access access) {
    Storage storage = find_storage(handle);
    if (n * size_of(dtype) > storage.bytes) fail_reach(name, dtype, 0, double(n - 1), storage.bytes);
    if (deferring() || !storage.data) deferred = defer(handle, storage, access);
    call.enter(handle, storage);
    set(*storage.device, storage.data, dtype, n);
  }
  // A storage that the call has made, and that has memory.
  Flat(const Device &device, void *data, DType dtype, int64_t n) { set(device, data, dtype, n); }

 private:
  void set(const Device &of, void *at, DType type, int64_t n) {
    data = at;
    dtype = type;
    device = of.id;
    rank = 1;
    size[0] = n;
    stride[0] = 1;
  }
};

void read_input(Call &call, const char *name, const castor_view &from, View &to);
void read_output(Call &call, const char *name, const castor_view &from, View &to);

const castor_view *views_at(castor_address address, const char *name);

}  // namespace castor
