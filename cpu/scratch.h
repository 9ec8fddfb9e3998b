// Temporary memory: blocks that the calling thread keeps for its next call, allocated and freed in stack order.
#pragma once
#include <cstdint>
#include <sys/mman.h>
#include <cstdlib>
#include <vector>
#include "../abi/backend.h"
#include "guard.h"

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
    if (used_ == blocks_.size()) blocks_.push_back({nullptr, 0});
    Block &block = blocks_[used_];
    if (block.bytes < bytes) enlarge(block, bytes);
    used_++;
    return guard::open(block.data, bytes, block.bytes);
  }

  void pop() {
    Block &block = blocks_[--used_];
    guard::close(block.data, block.bytes);
    if (block.bytes <= KEPT) return;
    std::free(block.data);
    block = {nullptr, 0};
  }

 private:
  struct Block { void *data; size_t bytes; };
  static constexpr size_t ALIGN = 64;               // a cache line, and the width of the widest vector
  static constexpr size_t PAGE = size_t(2) << 20;   // a huge page: panels of products are read faster than small pages are looked up
  static constexpr size_t KEPT = size_t(64) << 20;  // bytes; larger blocks are freed at once
  std::vector<Block> blocks_;
  size_t used_ = 0;

  static void enlarge(Block &block, size_t bytes) {
    const size_t unit = bytes < PAGE ? ALIGN : PAGE, rounded = (bytes + unit - 1) / unit * unit;
    std::free(block.data);
    block = {std::aligned_alloc(unit, rounded), rounded};
    if (!block.data) {
      block.bytes = 0;
      fail(CASTOR_OUT_OF_MEMORY, "no memory for a scratch block of %zu bytes", bytes);
    }
#ifdef MADV_HUGEPAGE
    if (unit == PAGE) madvise(block.data, rounded, MADV_HUGEPAGE);
#endif
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
