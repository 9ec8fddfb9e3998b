// Allocates storages and large temporary memory on the CPU. Freed blocks are kept in lists by size class, up to as many bytes as a process
// has used and SLACK more, and until nobody has used them for some seconds. Blocks of MAPPED bytes and more are mapped pages, smaller ones
// come from aligned_alloc.
#include "memory.h"
#include "cache.h"
#include <sys/mman.h>
#include <algorithm>
#include <cstdlib>
#include <mutex>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include "../abi/spinlock.h"
#include "decay.h"
#include "guard.h"
#include "room.h"

namespace castor {
namespace {

constexpr int64_t KiB = 1024, MiB = 1024 * KiB;
constexpr int64_t UNIT = 64;  // a cache line, and the width of the widest vector
constexpr int64_t MAPPED = 1 * MiB;       // blocks of this size and more are mapped, so that freeing them returns their pages
constexpr int64_t HUGE_PAGE = 2 * MiB;
constexpr int64_t SLACK = 256 * MiB;
constexpr int AT_ONCE = 256;                // the most blocks that are taken off a list under one lock

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
  int64_t count = 0;
  int64_t idle = 0;  // the smallest count since the last release_idle(): so many blocks were not used since

  void push(FreeBlock *block) {
    block->next = first;
    first = block;
    count++;
  }
  FreeBlock *pop() {
    FreeBlock *block = first;
    if (!block) return nullptr;
    first = block->next;
    idle = std::min(idle, --count);
    return block;
  }
};

SpinLock heap_lock;  // guards everything below
FreeList lists[CLASSES];
uint64_t now = 0;
int64_t cached = 0, in_use = 0;
int64_t peak = 0, recent_peak = 0;  // of the bytes in use, since the last release_idle() but one, and since the last one

// The limit of the cache: as many bytes as the process has used and will use again, and SLACK more, because sizes vary between steps.
int64_t cache_limit() { return peak - in_use + SLACK; }

void note_peak() {
  recent_peak = std::max(recent_peak, in_use);
  peak = std::max(peak, recent_peak);
}

void *map_pages(int64_t bytes) {
  const int64_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : 0;
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

void *new_block(int64_t capacity) {
  void *data = capacity >= MAPPED ? map_pages(capacity) : std::aligned_alloc(UNIT, size_t(capacity));
  if (data) commit(data, capacity);
  return data;
}

// Blocks that have left their lists. Returns the bytes of those that malloc has got back.
int64_t delete_blocks(FreeList &blocks) {
  int64_t freed = 0;
  while (FreeBlock *block = blocks.pop()) {
    const int64_t capacity = block->capacity;
    guard::clear(block, size_t(capacity));
    if (capacity >= MAPPED) munmap(block, size_t(capacity));
    else std::free(block), freed += capacity;
  }
  return freed;
}

// malloc keeps what is freed between blocks in use, unless it is told to give whole pages back.
void trim_malloc() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

FreeBlock *take(const SizeClass &size) {
  std::lock_guard<SpinLock> lock(heap_lock);
  FreeList &list = lists[size.index];
  FreeBlock *block = list.pop();
  if (!block) return nullptr;
  list.used_at = ++now;
  cached -= size.capacity;
  in_use += size.capacity;
  note_peak();
  return block;
}

void *fresh(int64_t capacity) {
  int64_t claimed;
  {
    std::lock_guard<SpinLock> lock(heap_lock);
    claimed = in_use += capacity;
  }
  const Claim claim(capacity, claimed);
  void *data = claim.granted() ? new_block(capacity) : nullptr;
  std::lock_guard<SpinLock> lock(heap_lock);
  if (data) note_peak();
  else in_use -= capacity;
  return data;
}

// Takes blocks off the lists, those of the sizes unused for longest first, until at most `limit` bytes are cached.
void trim(int64_t limit, FreeList &trimmed) {
  while (cached > limit) {
    FreeList *oldest = nullptr;
    for (FreeList &list : lists) {
      if (list.first && (!oldest || list.used_at < oldest->used_at)) oldest = &list;
    }
    while (cached > limit && oldest->first) {
      cached -= oldest->first->capacity;
      trimmed.push(oldest->pop());
    }
  }
}

// Takes idle blocks off a list, at most AT_ONCE. Returns whether there are more.
bool take_idle(FreeList &list, FreeList &trimmed) {
  std::lock_guard<SpinLock> lock(heap_lock);
  for (int i = 0; i < AT_ONCE && list.idle > 0; i++) {
    const int64_t idle = list.idle;
    cached -= list.first->capacity;
    trimmed.push(list.pop());
    list.idle = idle - 1;
  }
  return list.idle > 0;
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
  FreeList trimmed;
  FreeBlock *block = static_cast<FreeBlock *>(data);
  guard::close(block, size_t(size.capacity));
  guard::clear(block, sizeof *block);
  block->capacity = size.capacity;
  {
    std::lock_guard<SpinLock> lock(heap_lock);
    lists[size.index].push(block);
    lists[size.index].used_at = ++now;
    cached += size.capacity;
    in_use -= size.capacity;
    if (cached > cache_limit()) trim(cache_limit() - SLACK / 4, trimmed);
  }
  note_cached();
  delete_blocks(trimmed);
}

void release_cached() {
  FreeList trimmed;
  {
    std::lock_guard<SpinLock> lock(heap_lock);
    trim(0, trimmed);
    peak = recent_peak = in_use;
  }
  delete_blocks(trimmed);
  trim_malloc();
}

bool release_idle() {
  int64_t freed = 0;
  for (FreeList &list : lists) {
    for (bool more = true; more;) {
      FreeList trimmed;
      more = take_idle(list, trimmed);
      freed += delete_blocks(trimmed);
    }
  }
  if (freed > 0) trim_malloc();
  std::lock_guard<SpinLock> lock(heap_lock);
  for (FreeList &list : lists) list.idle = list.count;
  peak = recent_peak;
  recent_peak = in_use;
  return cached > 0;
}

bool has_room(int64_t bytes) {
  if (Claim(bytes, 0).granted()) return true;
  release_cached();
  return Claim(bytes, 0).granted();
}

int64_t cached_bytes() {
  std::lock_guard<SpinLock> lock(heap_lock);
  return cached;
}

}  // namespace castor
