// A caching allocator for memory that is slow to obtain. It takes large segments from a source, cuts blocks off them, merges a freed block
// with its free neighbours, and keeps free blocks in lists by size class (two-level segregated fit: Masmano, Ripoll, Crespo, Real: TLSF: a
// new dynamic memory allocator for real-time systems; 2004), so that allocating and freeing each take a bounded number of instructions. Its
// records are in host memory.
//
// A pool serves one stream: a freed block may be reused at once, because the work that uses it next is queued after the work that used it
// before. If another stream used the block as well, the device first makes the pool's stream wait for that one.
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
  Block *previous, *next;    // in the list of its size class, while free
  bool free, small;
  uint64_t users;            // bit k is set if stream k, another than the pool's own, uses it; accessed by std::atomic_ref
};

class MemoryPool {
 public:
  static constexpr int64_t UNIT = 512, SMALL = 1 << 20;  // bytes; blocks below SMALL live in segments of their own

  struct Source {
    virtual ~Source() = default;
    virtual void *map(int64_t bytes) = 0;  // null when there is no memory left
    virtual void unmap(void *data, int64_t bytes) = 0;
    // Whether each block is a segment of exactly its size, so that a tool sees an access beyond it.
    virtual bool alone() const { return false; }
  };

  const int stream;  // the number of the stream

  // If `keeps`, no memory is returned to the source before the pool is closed: what is free here may still be used by kernels that run
  // later, as those of a graph.
  explicit MemoryPool(Source &source, int stream = 0, bool keeps = false) : stream(stream), source_(source), keeps_(keeps) {}

  Memory allocate(int64_t bytes);      // data is null when the source has no memory left
  static void release(Block *block);
  void release_cached();               // returns the segments of which no block is in use
  int64_t cached() const;              // bytes in segments that are not in blocks in use
  static bool keeps(const Block *block) { return block && block->pool->keeps_; }  // see the constructor
  bool made(const Block *block) const { return block && block->pool == this; }
  // Ends allocation. When its last block is released, the pool returns all memory and deletes itself.
  void close();

 private:
  static constexpr int SPLIT = 16, LEVELS = 44;  // classes between two powers of two; number of levels

  // The free blocks, either the small or the large ones.
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
  const bool keeps_;
  Heap small_, large_;
  std::deque<Block> records_;
  Block *spare_ = nullptr;  // unused records, linked by next
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
  void unmap_all_free();
};

}  // namespace castor
