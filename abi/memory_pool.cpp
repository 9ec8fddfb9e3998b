// The allocator that memory_pool.h describes.
#include "memory_pool.h"
#include <algorithm>

namespace castor {
namespace {

constexpr int64_t MIB = 1 << 20;
// A request of ALONE bytes or more gets a segment of its own.
constexpr int64_t SMALL_SEGMENT = 2 * MIB, LARGE_SEGMENT = 20 * MIB, ALONE = 10 * MIB;
constexpr int NEAR = 16;  // the number of blocks of the request's own class that are examined

constexpr int64_t rounded(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }
int log2_of(uint64_t x) { return 63 - __builtin_clzll(x); }

}  // namespace

// Level 0 has one class for each size of 1 to 15 units. Level k divides the sizes from 2^(k + 3) to 2^(k + 4) units into 16 classes.
MemoryPool::Class MemoryPool::class_of(int64_t bytes) {
  const uint64_t units = uint64_t(bytes / UNIT);
  if (units < SPLIT) return {0, int(units)};
  const int power = log2_of(units);
  return {power - 3, int(units >> (power - 4)) - SPLIT};
}

void MemoryPool::Heap::insert(Block *block) {
  const Class at = class_of(block->bytes);
  Block *&first = lists[at.level][at.split];
  block->free = true;
  block->previous = nullptr;
  block->next = first;
  if (first) first->previous = block;
  first = block;
  levels |= uint64_t(1) << at.level;
  classes[at.level] |= uint16_t(1 << at.split);
}

void MemoryPool::Heap::remove(Block *block) {
  const Class at = class_of(block->bytes);
  (block->previous ? block->previous->next : lists[at.level][at.split]) = block->next;
  if (block->next) block->next->previous = block->previous;
  block->free = false;
  if (lists[at.level][at.split]) return;
  classes[at.level] &= uint16_t(~(1 << at.split));
  if (!classes[at.level]) levels &= ~(uint64_t(1) << at.level);
}

// Examines the first few blocks of the request's own class, where a program finds the block that it freed a moment ago, and returns the
// best fit. If none fits, it returns any block of the next larger class that has one, where every block is large enough.
Block *MemoryPool::Heap::find(int64_t bytes) const {
  const Class at = class_of(bytes);
  Block *best = nullptr;
  int looked = 0;
  for (Block *block = lists[at.level][at.split]; block && looked < NEAR; block = block->next, looked++) {
    if (block->bytes == bytes) return block;
    if (block->bytes > bytes && (!best || block->bytes < best->bytes)) best = block;
  }
  if (best) return best;
  const uint32_t wider = uint32_t(classes[at.level]) & ~((2u << at.split) - 1);
  if (wider) return lists[at.level][__builtin_ctz(wider)];
  const uint64_t higher = levels & ~((uint64_t(2) << at.level) - 1);
  if (!higher) return nullptr;
  const int level = __builtin_ctzll(higher);
  return lists[level][__builtin_ctz(classes[level])];
}

Block *MemoryPool::new_record() {
  if (!spare_) return &records_.emplace_back();
  Block *block = spare_;
  spare_ = block->next;
  return block;
}

void MemoryPool::drop_record(Block *block) {
  block->next = spare_;
  spare_ = block;
}

Block *MemoryPool::map(int64_t bytes, bool small) {
  char *data = static_cast<char *>(source_.map(bytes));
  if (!data) return nullptr;
  reserved_ += bytes;
  Block *block = new_record();
  *block = {this, data, bytes, nullptr, nullptr, nullptr, nullptr, false, small, 0};
  heap_of(block).insert(block);
  return block;
}

Block *MemoryPool::grow(int64_t bytes, bool small) {
  if (source_.alone()) return map(bytes, small);
  if (small) return map(SMALL_SEGMENT, true);
  const int64_t own = rounded(bytes, SMALL_SEGMENT);
  if (own >= ALONE) return map(own, false);
  Block *block = map(LARGE_SEGMENT, false);
  return block ? block : map(own, false);
}

// Splits a block. The rest becomes a free block, unless it is too small for any request that would find it.
void MemoryPool::cut(Block *block, int64_t bytes) {
  const int64_t rest = source_.alone() ? 0 : block->bytes - bytes;
  if (rest < (block->small ? UNIT : SMALL)) return;
  Block *other = new_record();
  *other = {this, block->data + bytes, rest, block, block->after, nullptr, nullptr, false, block->small, 0};
  if (block->after) block->after->before = other;
  block->after = other;
  block->bytes = bytes;
  heap_of(other).insert(other);
}

Block *MemoryPool::merged(Block *block) {
  if (Block *after = block->after; after && after->free) {
    heap_of(after).remove(after);
    block->bytes += after->bytes;
    block->after = after->after;
    if (block->after) block->after->before = block;
    drop_record(after);
  }
  Block *before = block->before;
  if (!before || !before->free) return block;
  heap_of(before).remove(before);
  before->bytes += block->bytes;
  before->after = block->after;
  if (before->after) before->after->before = before;
  drop_record(block);
  return before;
}

Memory MemoryPool::allocate(int64_t bytes) {
  const int64_t wanted = rounded(std::max<int64_t>(bytes, 1), source_.alone() ? 1 : UNIT);
  const bool small = wanted < SMALL;
  std::lock_guard<std::mutex> lock(mutex_);
  Heap &heap = small ? small_ : large_;
  Block *block = heap.find(wanted);
  if (!block) block = grow(wanted, small);
  if (!block && !keeps_) {
    unmap_all_free();
    block = grow(wanted, small);
  }
  if (!block) return {nullptr, nullptr};
  heap.remove(block);
  cut(block, wanted);
  used_ += block->bytes;
  block->users = 0;
  return {block->data, block};
}

void MemoryPool::release(Block *block) {
  MemoryPool *pool = block->pool;
  {
    std::lock_guard<std::mutex> lock(pool->mutex_);
    pool->used_ -= block->bytes;
    Block *whole = pool->merged(block);
    pool->heap_of(whole).insert(whole);
    if (!pool->closed_ || pool->used_ > 0) return;
  }
  delete pool;
}

void MemoryPool::unmap_free(Heap &heap) {
  for (auto &level : heap.lists) {
    for (Block *block : level) {
      while (block) {
        Block *const next = block->next;
        if (!block->before && !block->after) {
          heap.remove(block);
          source_.unmap(block->data, block->bytes);
          reserved_ -= block->bytes;
          drop_record(block);
        }
        block = next;
      }
    }
  }
}

void MemoryPool::unmap_all_free() {
  unmap_free(small_);
  unmap_free(large_);
}

void MemoryPool::release_cached() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!keeps_ || closed_) unmap_all_free();
}

int64_t MemoryPool::cached() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return reserved_ - used_;
}

void MemoryPool::close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    if (used_ > 0) return;
  }
  delete this;
}

MemoryPool::~MemoryPool() { release_cached(); }

}  // namespace castor
