#include "fiber.h"
#include <sys/mman.h>
#include <cstdlib>
#include "asan.h"

namespace castor::emulator {
namespace {

constexpr size_t STACK = 128 * 1024, GUARD = 4096;
// Stacks start at different offsets within a page. Otherwise all of them would compete for the same lines of the cache.
constexpr size_t COLOUR = 320, LINE = 64;

char *map_stack() {
  void *const data = mmap(nullptr, STACK + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED || mprotect(data, GUARD, PROT_NONE) != 0) std::abort();
  return static_cast<char *>(data) + GUARD;
}

}  // namespace

void Fibers::prepare(Fiber &fiber, size_t number) {
  char *const stack = static_cast<char *>(const_cast<void *>(fiber.stack));
  asan::unpoison(stack, STACK);
  emulator::prepare(fiber.context, stack, STACK - number * COLOUR % GUARD / LINE * LINE, entry_);
  fiber.fake_stack = nullptr;
}

Fiber &Fibers::take() {
  if (spare_.empty()) {
    all_.push_back(std::make_unique<Fiber>());
    Fiber &made = *all_.back();
    made.stack = map_stack();
    made.bytes = STACK;
    prepare(made, all_.size());
    return made;
  }
  Fiber &fiber = *spare_.back();
  spare_.pop_back();
  return fiber;
}

void Fibers::switch_to(Fiber &to) {
  Fiber &from = *current_;
  previous_ = &from;
  current_ = &to;
  asan::leave(&from.fake_stack, to.stack, to.bytes);
  switch_context(from.context, to.context);
  asan::arrive(from.fake_stack, &previous_->stack, &previous_->bytes);
}

// Also records the stack that was left: the one of home_ is not known before.
void Fibers::arrived() { asan::arrive(nullptr, &previous_->stack, &previous_->bytes); }

void Fibers::reset() {
  spare_.clear();
  for (size_t i = 0; i < all_.size(); i++) {
    prepare(*all_[i], i);
    spare_.push_back(all_[i].get());
  }
}

}  // namespace castor::emulator
