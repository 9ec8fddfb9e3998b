// The stacks on which the threads of a block run.
#pragma once
#include <memory>
#include <vector>
#include "context.h"

namespace castor::emulator {

struct Fiber {
  Context context;
  const void *stack = nullptr;  // the lowest address of the stack
  size_t bytes = 0;
  void *fake_stack = nullptr;   // for AddressSanitizer
};

class Fibers {
 public:
  // A fiber calls `entry` when it is first switched to. entry does not return.
  explicit Fibers(void (*entry)()) : entry_(entry) {}

  Fiber &current() { return *current_; }
  Fiber &take();
  void put_back(Fiber &fiber) { spare_.push_back(&fiber); }
  void switch_to(Fiber &to);
  void switch_home() { switch_to(home_); }  // to the caller that runs the block
  // Makes every fiber start again after a failure, when threads have been left in the middle.
  void reset();
  // Every entry calls this first.
  void arrived();

 private:
  void prepare(Fiber &fiber, size_t number);

  void (*entry_)();
  Fiber home_, *current_ = &home_, *previous_ = &home_;
  std::vector<std::unique_ptr<Fiber>> all_;
  std::vector<Fiber *> spare_;
};

}  // namespace castor::emulator
