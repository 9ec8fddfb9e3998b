// Copies between layouts, dtypes and devices.
#include <algorithm>
#include <optional>
#include "capture.h"
#include "check.h"
#include "error.h"

using namespace castor;

namespace {

// Device memory that is held for the duration of one call.
class Buffer {
 public:
  Buffer(Device &device, int64_t bytes) : device_(device), bytes_(bytes), memory_(device.allocate(bytes)) {
    if (!memory_.data) fail(CASTOR_OUT_OF_MEMORY, "no memory for a copy of %lld bytes between devices", (long long)bytes);
  }
  ~Buffer() { device_.release(memory_, bytes_); }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  void *data() const { return memory_.data; }
  // Work that this thread queues from now on comes after that of other threads with this memory.
  void use() const { if (memory_.block) device_.use(*memory_.block); }

 private:
  Device &device_;
  const int64_t bytes_;
  const Memory memory_;
};

// The same view.
void describe(const View &from, View &to) {
  to.data = from.data;
  to.dtype = from.dtype;
  to.device = from.device;
  to.rank = from.rank;
  std::copy_n(from.size, from.rank, to.size);
  std::copy_n(from.stride, from.rank, to.stride);
}

// The same view with its broadcast axes (stride 0) reduced to size 1.
void drop_repeats(const View &from, View &to) {
  describe(from, to);
  for (int i = 0; i < from.rank; i++)
    if (from.stride[i] == 0) to.size[i] = 1;
}

// A contiguous view of the shape of another one, in new memory.
void make_packed(const View &like, DType dtype, Device &device, View &to) {
  to.dtype = dtype;
  to.device = device.id;
  to.rank = like.rank;
  int64_t stride = 1;
  for (int i = like.rank - 1; i >= 0; i--) {
    to.size[i] = like.size[i];
    to.stride[i] = stride;
    stride *= like.size[i];
  }
}

bool is_packed(const View &view, const View &packed) {
  return view.dtype == packed.dtype && view.contiguous() && view.numel() == packed.numel();
}

// Describes what is sent for a copy between devices: contiguous data, in the dtype of which fewer bytes have to be transferred.
void make_sent(const View &source, const View &out, Device &device, View &sent) {
  make_packed(source, size_of(out.dtype) < size_of(source.dtype) ? out.dtype : source.dtype, device, sent);
}
int64_t bytes_of(const View &packed) { return packed.numel() * size_of(packed.dtype); }

const Backend &kernels_of(Device &device) {
  const Backend *const kernels = device.kernels.load();
  if (!kernels) device.fail_lost();
  return *kernels;
}

// Makes the source contiguous. The memory for this, if it needs any, is that of `buffer`.
void pack(Device &from, const View &source, View &packed, std::optional<Buffer> &buffer) {
  if (is_packed(source, packed)) {
    packed.data = source.data;
    return;
  }
  packed.data = buffer.emplace(from, bytes_of(packed)).data();
  kernels_of(from).copy(source, packed);
}

// Transfers the bytes, and writes them to the layout of out.
void deliver(Device &from, const View &packed, Device &to, const View &out) {
  const int64_t bytes = bytes_of(packed);
  if (is_packed(out, packed)) return from.send(packed.data, to, out.data, bytes);
  View arrived;
  make_packed(packed, packed.dtype, to, arrived);
  const Buffer buffer(to, bytes);
  arrived.data = buffer.data();
  from.send(packed.data, to, arrived.data, bytes);
  kernels_of(to).copy(arrived, out);
}

void copy_across(Device &from, const View &a, Device &to, const View &out) {
  View source, packed;
  drop_repeats(a, source);
  make_sent(source, out, from, packed);
  std::optional<Buffer> buffer;
  pack(from, source, packed, buffer);
  deliver(from, packed, to, out);
}

// ---- in a graph ---------------------------------------------------------------------------------------------------

// A copy between the device of a graph and a tensor elsewhere. It passes through memory on the device of the graph that nothing else uses.
class CrossingBy : public Crossing {
 public:
  CrossingBy(castor_handle handle, Access access, const View &tensor, Device &of_graph, int64_t bytes)
      : handle_(handle), access_(access), buffer_(of_graph, bytes) {
    describe(tensor, elsewhere);
    const Storage storage = find_storage(handle);
    device = storage.device;
    offset_ = static_cast<char *>(tensor.data) - static_cast<char *>(storage.data);
  }

  void find() override {
    if (!is_live(handle_))
      fail(CASTOR_DISPOSED, "a tensor that the graph copies from or to another device has been freed. Make it before the capture and "
                            "keep it");
    Storage storage = find_storage(handle_);
    if (deferring()) settle(handle_, storage, access_);
    if (storage.block) storage.device->use(*storage.block);
    elsewhere.data = static_cast<char *>(storage.data) + offset_;
    buffer_.use();
  }

 protected:
  View elsewhere;  // the tensor on the other device
  Device *device;  // which is this one
  void *buffer() const { return buffer_.data(); }

 private:
  const castor_handle handle_;
  const Access access_;
  const Buffer buffer_;
  int64_t offset_;
};

class Arriving final : public CrossingBy {
 public:
  Arriving(castor_handle handle, const View &source, Device &to, const View &out, const Backend &captured)
      : CrossingBy(handle, Access::read, source, to, bytes_sent(source, out, to)), to_(to) {
    View arrived;
    make_sent(source, out, *device, packed_);
    make_packed(packed_, packed_.dtype, to, arrived);
    arrived.data = buffer();
    captured.copy(arrived, out);
  }
  void run() override {
    std::optional<Buffer> memory;
    pack(*device, elsewhere, packed_, memory);
    device->send(packed_.data, to_, buffer(), bytes_of(packed_));
  }
  static int64_t bytes_sent(const View &source, const View &out, Device &device) {
    View sent;
    make_sent(source, out, device, sent);
    return bytes_of(sent);
  }

 private:
  Device &to_;
  View packed_;
};

class Leaving final : public CrossingBy {
 public:
  Leaving(Device &from, const View &source, castor_handle handle, const View &out, const Backend &captured)
      : CrossingBy(handle, Access::write, out, from, Arriving::bytes_sent(source, out, from)), from_(from) {
    make_sent(source, out, from, packed_);
    packed_.data = buffer();
    captured.copy(source, packed_);
  }
  void run() override { deliver(from_, packed_, *device, elsewhere); }

 private:
  Device &from_;
  View packed_;
};

// Adds a copy between devices to the graph that is captured on one of them. The caller does not copy from where the graph copies to: that
// copy would be made first.
void capture_across(Device &from, castor_handle source_handle, const View &a, Device &to, castor_handle out_handle, const View &out) {
  Capture *const arrives = capturing(to), *const leaves = capturing(from);
  View source;
  drop_repeats(a, source);
  if (leaves && from.id == CASTOR_CPU)
    fail(CASTOR_CAPTURE, "a copy to a GPU cannot be captured in a graph of the CPU. Copy the result after a replay");
  if (to.id == CASTOR_CPU)
    fail(CASTOR_CAPTURE, "a copy to the CPU cannot be captured in a graph. %s", READ_AFTER);
  if (arrives) arrives->arrives(std::make_unique<Arriving>(source_handle, source, to, out, arrives->kernels()));
  else leaves->leaves(std::make_unique<Leaving>(from, source, out_handle, out, leaves->kernels()));
}

// Are a and out on two devices? Views that are wrong are not: castor_copy refuses them.
bool crosses(castor_address a, castor_address out) {
  const double from = views_at(a, "a")->storage, to = views_at(out, "out")->storage;
  Storage source, target;
  return find_if_live(from, source) && find_if_live(to, target) && source.device != target.device;
}

}  // namespace

int32_t castor_copy(castor_address a, castor_address out) {
  return guard("copy", [&] {
    // A copy between devices waits for the work of the CPU that it needs.
    std::optional<AtOnce> at_once;
    if (deferring() && crosses(a, out)) at_once.emplace();
    Call from, to;
    const Input x(from, "a", a);
    const Output y(to, "out", out);
    expect_broadcasts(&x, y);
    if (y.numel() == 0) return;
    const Backend &kernels = to.kernels();
    if (x.constant || from.device() == to.device()) return kernels.copy(x, y);
    from.kernels();  // throws if the device is lost
    if (capturing(*from.device()) || capturing(*to.device()))
      return capture_across(*from.device(), views_at(a, "a")->storage, x, *to.device(), views_at(out, "out")->storage, y);
    copy_across(*from.device(), x, *to.device(), y);
  });
}
