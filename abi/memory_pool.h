// A caching allocator for memory that is slow to get. It takes large segments from a source, cuts blocks off them, merges a freed
// block with its free neighbours, and keeps what is free in lists by size class (two-level segregated fit: Masmano, Ripoll, Crespo,
// Real: TLSF; 2004), so that both directions take a bounded few dozen instructions. Its records lie in host memory.
//
// A pool serves one stream: a freed block may be handed out again at once, because whatever uses it next is queued behind whatever
// used it before. Where another stream used it as well, the device has the pool's stream wait for that one first.
#pragma once
#include <cstdint>
#include <deque>
#include <mutex>
#include "memory.h"

namespace castor {

class MemoryPool;

struct Block {
  MemoryPool *pool;
  char *data;
  int64_t bytes;
  Block *before, *after;     // neighbours in the segment
  Block *previous, *next;    // in the list of its class, while free
  bool free, small;
  uint64_t users;            // streams besides the pool's own that use it, a bit each; by std::atomic_ref
};

class MemoryPool {
 public:
  static constexpr int64_t UNIT = 512, SMALL = 1 << 20;  // bytes; blocks below SMALL live in segments of their own

  struct Source {
    virtual ~Source() = default;
    virtual void *map(int64_t bytes) = 0;  // null when there is none
    virtual void unmap(void *data, int64_t bytes) = 0;
  };

  const int stream;  // the device's number of it

  explicit MemoryPool(Source &source, int stream = 0) : stream(stream), source_(source) {}

  Memory allocate(int64_t bytes);      // data is null when the source has no more
  static void release(Block *block);
  void release_cached();               // gives back the segments of which no block is in use
  int64_t cached() const;              // bytes, of segments but not of blocks in use
  bool made(const Block *block) const { return block && block->pool == this; }
  // No more allocations: the pool deletes itself, and gives all back, when the last of its blocks is released.
  void close();

 private:
  static constexpr int SPLIT = 16, LEVELS = 44;  // classes between two powers of two; powers of two

  // The free blocks of one size range.
  struct Heap {
    uint64_t levels = 0;
    uint16_t classes[LEVELS] = {};
    Block *lists[LEVELS][SPLIT] = {};

    void insert(Block *block);
    void remove(Block *block);
    Block *find(int64_t bytes) const;
  };
  struct Class { int level, split; };

  mutable std::mutex mutex_;
  Source &source_;
  Heap small_, large_;
  std::deque<Block> records_;
  Block *spare_ = nullptr;  // records, linked by next
  int64_t reserved_ = 0, used_ = 0;
  bool closed_ = false;

  ~MemoryPool();
  static Class class_of(int64_t bytes);
  Heap &heap_of(const Block *block) { return block->small ? small_ : large_; }
  Block *new_record();
  void drop_record(Block *block);
  Block *grow(int64_t bytes, bool small);
  Block *map(int64_t bytes, bool small);
  void cut(Block *block, int64_t bytes);
  Block *merged(Block *block);
  void unmap_free(Heap &heap);
};

}  // namespace castor
