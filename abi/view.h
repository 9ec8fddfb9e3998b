// castor_views, read and checked.
#pragma once
#include <new>
#include "storage.h"

namespace castor {

// What the views of one call have in common: the device. A call without storages has none.
class Call {
 public:
  const Backend &kernels() const;
  Device *device() const { return device_; }
  void join(Device *device);
  // Random numbers in a graph come from the one stream that its capture began with.
  void expect_seed(uint64_t seed) const;

 private:
  Device *device_ = nullptr;
};

// A view with the name that messages call it by.
struct Argument : View {
  const char *name;
};

struct Input : Argument {
  Input(Call &call, const char *name, castor_address address);
};

struct Output : Argument {
  Output(Call &call, const char *name, castor_address address);
};

// An argument that may be absent: then it converts to null.
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

void read_input(Call &call, const char *name, const castor_view &from, View &to);
void read_output(Call &call, const char *name, const castor_view &from, View &to);

const castor_view *views_at(castor_address address, const char *name);

}  // namespace castor
