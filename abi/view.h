// Reads castor_views and checks them.
#pragma once
#include <new>
#include "storage.h"

namespace castor {

// The device that the views of one call share. A call whose views are all constants has none.
class Call {
 public:
  const Backend &kernels() const;
  Device *device() const { return device_; }
  void join(Device *device);
  // The random numbers in a graph come from the generator that its capture began with.
  void expect_seed(uint64_t seed) const;

 private:
  Device *device_ = nullptr;
};

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
  Flat(Call &call, const char *name, castor_handle storage, DType dtype, int64_t n);
  Flat(const Device &device, void *data, DType dtype, int64_t n);  // one that the call has made

 private:
  Flat(Call &call, const char *name, castor_handle handle, const Storage &storage, DType dtype, int64_t n);
};

void read_input(Call &call, const char *name, const castor_view &from, View &to);
void read_output(Call &call, const char *name, const castor_view &from, View &to);

const castor_view *views_at(castor_address address, const char *name);

}  // namespace castor
