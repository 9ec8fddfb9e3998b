// The stacks that the threads of a block run on.
#pragma once
#include <memory>
#include <vector>
#include "context.h"

namespace castor::emulator {

struct Fiber {
  Context context;
  const void *stack = nullptr;  // its lowest address
  size_t bytes = 0;
  void *fake_stack = nullptr;   // AddressSanitizer's
};

class Fibers {
 public:
  // `entry` is what a fiber calls when it is first switched to. It does not return.
  explicit Fibers(void (*entry)()) : entry_(entry) {}

  Fiber &current() { return *current_; }
  Fiber &take();
  void put_back(Fiber &fiber) { spare_.push_back(&fiber); }
  void switch_to(Fiber &to);
  void switch_home() { switch_to(home_); }  // to whoever runs the block
  // Every fiber begins anew: after a failure, when threads have been left in the middle.
  void reset();
  // Each entry calls this first.
  void arrived();

 private:
  void prepare(Fiber &fiber, size_t number);

  void (*entry_)();
  Fiber home_, *current_ = &home_, *previous_ = &home_;
  std::vector<std::unique_ptr<Fiber>> all_;
  std::vector<Fiber *> spare_;
};

}  // namespace castor::emulator
