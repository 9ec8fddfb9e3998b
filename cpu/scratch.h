// Temporary memory, allocated and freed in stack order: small blocks stay with the calling thread for its next call, large ones come from
// the memory that all threads share.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <vector>
#include "../abi/backend.h"
#include "guard.h"
#include "memory.h"

namespace castor::CASTOR_ISA {

class ScratchStack {
 public:
  static ScratchStack &mine() {
    static thread_local ScratchStack stack;
    return stack;
  }
  ~ScratchStack() {
    for (Block &block : blocks_) std::free(block.data);
  }

  void *push(size_t bytes) {
    if (used_ == blocks_.size()) blocks_.push_back({nullptr, 0, nullptr, 0});
    Block &block = blocks_[used_];
    void *const data = bytes > KEPT ? share(block, bytes) : keep(block, bytes);
    used_++;
    return data;
  }

  void pop() {
    Block &block = blocks_[--used_];
    guard::close(block.data, block.bytes);
    if (!block.shared) return;
    castor::release(block.shared, int64_t(block.shared_bytes));
    block.shared = nullptr;
  }

 private:
  struct Block {
    void *data;
    size_t bytes;
    void *shared;  // in place of data, for a call that needs more than KEPT bytes
    size_t shared_bytes;
  };
  static constexpr size_t ALIGN = 64;              // a cache line, and the width of the widest vector
  static constexpr size_t KEPT = size_t(1) << 20;  // bytes; larger blocks are shared
  std::vector<Block> blocks_;
  size_t used_ = 0;

  static void *keep(Block &block, size_t bytes) {
    if (block.bytes < bytes) enlarge(block, bytes);
    return guard::open(block.data, bytes, block.bytes);
  }

  static void enlarge(Block &block, size_t bytes) {
    const size_t rounded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    std::free(block.data);
    block.data = std::aligned_alloc(ALIGN, rounded);
    block.bytes = block.data ? rounded : 0;
    if (!block.data) fail_for(bytes);
  }

  static void *share(Block &block, size_t bytes) {
    block.shared = castor::allocate(int64_t(bytes));
    block.shared_bytes = bytes;
    if (!block.shared) fail_for(bytes);
    return block.shared;
  }

  [[noreturn]] static void fail_for(size_t bytes) {
    fail(CASTOR_OUT_OF_MEMORY, "no memory for %zu bytes that the op needs while it runs", bytes);
  }
};

// Memory for `count` elements of T, uninitialised.
template <class T> class Scratch {
 public:
  explicit Scratch(int64_t count) : data_(static_cast<T *>(ScratchStack::mine().push(size_t(count) * sizeof(T)))) {}
  ~Scratch() { ScratchStack::mine().pop(); }
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;
  operator T *() const { return data_; }

 private:
  T *data_;
};

}  // namespace castor::CASTOR_ISA
