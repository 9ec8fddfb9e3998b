// Copies between layouts, dtypes and devices.
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

 private:
  Device &device_;
  const int64_t bytes_;
  const Memory memory_;
};

// The same view with its broadcast axes (stride 0) reduced to size 1.
void drop_repeats(const View &from, View &to) {
  to.data = from.data;
  to.dtype = from.dtype;
  to.device = from.device;
  to.rank = from.rank;
  for (int i = 0; i < from.rank; i++) {
    to.stride[i] = from.stride[i];
    to.size[i] = from.stride[i] == 0 ? 1 : from.size[i];
  }
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

// Copies from one device to another: makes the data contiguous on the one, transfers the bytes, and writes them to the layout on the other.
// The dtype is converted on the side where fewer bytes have to be transferred.
void copy_across(Device &from, const View &a, Device &to, const View &out) {
  for (const Device *device : {&from, &to}) {
    expect_no_capture(*device, "a copy between devices", "Make it before, into a tensor that the graph reads");
  }
  View source, packed;
  drop_repeats(a, source);
  make_packed(source, size_of(out.dtype) < size_of(a.dtype) ? out.dtype : a.dtype, from, packed);
  const int64_t bytes = packed.numel() * size_of(packed.dtype);
  std::optional<Buffer> before, after;
  if (is_packed(source, packed)) packed.data = source.data;
  else {
    packed.data = before.emplace(from, bytes).data();
    from.kernels.load()->copy(source, packed);
  }
  if (is_packed(out, packed)) return from.send(packed.data, to, out.data, bytes);
  View arrived;
  make_packed(packed, packed.dtype, to, arrived);
  arrived.data = after.emplace(to, bytes).data();
  from.send(packed.data, to, arrived.data, bytes);
  to.kernels.load()->copy(arrived, out);
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
    copy_across(*from.device(), x, *to.device(), y);
  });
}
