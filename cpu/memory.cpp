// Allocates storages on the CPU. Freed blocks are kept in lists by size class, up to as many bytes as the process once used and SLACK
// more. Blocks of MAPPED bytes and more are mapped pages, smaller ones come from aligned_alloc.
#include "memory.h"
#include <sys/mman.h>
#include <algorithm>
#include <cstdlib>
#include <mutex>
#include "../abi/spinlock.h"
#include "guard.h"
#include "machine.h"

namespace castor {
namespace {

constexpr int64_t KiB = 1024, MiB = 1024 * KiB;
constexpr int64_t UNIT = 64;  // a cache line, and the width of the widest vector
constexpr int64_t MAPPED = 1 * MiB;       // blocks of this size and more are mapped, so that freeing them returns their pages
constexpr int64_t HUGE_PAGE = 2 * MiB;
constexpr int64_t SLACK = 256 * MiB;
constexpr int64_t CHECK_EVERY = 16 * MiB;  // bytes of new memory between two checks of how much the machine has left

// There are eight sizes between two powers of two: at most an eighth is wasted, and a training step of slightly different shapes reuses the
// same blocks.
struct SizeClass {
  int index;
  int64_t capacity;
};

constexpr SizeClass size_class(int64_t bytes) {
  const int64_t last = (std::max<int64_t>(bytes, 1) - 1) / UNIT;
  if (last < 8) return {int(last), (last + 1) * UNIT};
  const int shift = 60 - __builtin_clzll(uint64_t(last));
  const int64_t step = last >> shift;  // 8 .. 15
  return {8 * shift + int(step), ((step + 1) << shift) * UNIT};
}

constexpr int CLASSES = size_class(int64_t(1) << 53).index + 1;

// The record lies in the free block itself.
struct FreeBlock {
  FreeBlock *next;
  int64_t capacity;
};

struct FreeList {
  FreeBlock *first = nullptr;
  uint64_t used_at = 0;
};

SpinLock heap_lock;  // guards everything below
FreeList lists[CLASSES];
uint64_t now = 0;
int64_t cached = 0, in_use = 0, peak = 0, unchecked = 0;

// The limit of the cache: as many bytes as the process once used and will use again, and SLACK more, because sizes vary between steps.
int64_t cache_limit() { return peak - in_use + SLACK; }

void push(FreeBlock *&list, FreeBlock *block) {
  block->next = list;
  list = block;
}

FreeBlock *pop(FreeBlock *&list) {
  FreeBlock *block = list;
  if (block) list = block->next;
  return block;
}

void *map_pages(int64_t bytes) {
  const int64_t alignment = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 0;
  void *mapped = mmap(nullptr, size_t(bytes + alignment), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  if (!alignment) return mapped;
  char *const start = static_cast<char *>(mapped);
  const int64_t before = -int64_t(reinterpret_cast<uintptr_t>(start)) & (alignment - 1);
  if (before) munmap(start, size_t(before));
  if (before < alignment) munmap(start + before + bytes, size_t(alignment - before));
#ifdef MADV_HUGEPAGE
  madvise(start + before, size_t(bytes), MADV_HUGEPAGE);
#endif
  return start + before;
}

void *new_block(int64_t capacity) { return capacity >= MAPPED ? map_pages(capacity) : std::aligned_alloc(UNIT, size_t(capacity)); }

void delete_blocks(FreeBlock *list) {
  while (FreeBlock *block = pop(list)) {
    guard::clear(block, size_t(block->capacity));
    if (block->capacity >= MAPPED) munmap(block, size_t(block->capacity));
    else std::free(block);
  }
}

// The second condition counts pages that are allocated but not yet touched, which the machine does not count as used. Some memory is left
// for the rest of the process.
bool memory_left(int64_t capacity, int64_t claimed) {
  const int64_t total = memory_total();
  return capacity <= memory_available() - total / 64 && claimed <= total;
}

FreeBlock *take(const SizeClass &size) {
  std::lock_guard<SpinLock> lock(heap_lock);
  FreeList &list = lists[size.index];
  FreeBlock *block = pop(list.first);
  if (!block) return nullptr;
  list.used_at = ++now;
  cached -= size.capacity;
  in_use += size.capacity;
  peak = std::max(peak, in_use);
  return block;
}

void *fresh(int64_t capacity) {
  bool check;
  int64_t claimed;
  {
    std::lock_guard<SpinLock> lock(heap_lock);
    claimed = in_use += capacity;
    check = (unchecked += capacity) >= CHECK_EVERY;
    if (check) unchecked = 0;
  }
  void *data = check && !memory_left(capacity, claimed) ? nullptr : new_block(capacity);
  std::lock_guard<SpinLock> lock(heap_lock);
  if (data) peak = std::max(peak, in_use);
  else in_use -= capacity, unchecked = CHECK_EVERY;
  return data;
}

// Takes blocks off the lists, those of the sizes unused for longest first, until at most `limit` bytes are cached.
FreeBlock *trim(int64_t limit) {
  FreeBlock *trimmed = nullptr;
  while (cached > limit) {
    FreeList *oldest = nullptr;
    for (FreeList &list : lists) {
      if (list.first && (!oldest || list.used_at < oldest->used_at)) oldest = &list;
    }
    while (cached > limit && oldest->first) {
      cached -= oldest->first->capacity;
      push(trimmed, pop(oldest->first));
    }
  }
  return trimmed;
}

}  // namespace

void *allocate(int64_t bytes) {
  const SizeClass size = size_class(bytes);
  void *data = take(size);
  if (!data) data = fresh(size.capacity);
  if (!data) {
    release_cached();
    data = fresh(size.capacity);
  }
  return guard::open(data, size_t(bytes), size_t(size.capacity));
}

void release(void *data, int64_t bytes) {
  const SizeClass size = size_class(bytes);
  FreeBlock *trimmed = nullptr;
  FreeBlock *block = static_cast<FreeBlock *>(data);
  guard::close(block, size_t(size.capacity));
  guard::clear(block, sizeof *block);
  block->capacity = size.capacity;
  {
    std::lock_guard<SpinLock> lock(heap_lock);
    push(lists[size.index].first, block);
    lists[size.index].used_at = ++now;
    cached += size.capacity;
    in_use -= size.capacity;
    if (cached > cache_limit()) trimmed = trim(cache_limit() - SLACK / 4);
  }
  delete_blocks(trimmed);
}

void release_cached() {
  FreeBlock *trimmed;
  {
    std::lock_guard<SpinLock> lock(heap_lock);
    trimmed = trim(0);
    peak = in_use;
  }
  delete_blocks(trimmed);
}

int64_t cached_bytes() {
  std::lock_guard<SpinLock> lock(heap_lock);
  return cached;
}

}  // namespace castor
