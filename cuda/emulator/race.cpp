// The race checker. With -fsanitize=thread the compiler inserts a function call at each memory access of the kernels. Here these functions
// are the ones at the end of this file, not those of libtsan. For each byte of shared and device memory they record who wrote and who read
// it last. So they find, in any order of the threads: two threads of a block that access a byte without a barrier between them, two blocks
// that access a byte, a read of shared memory that was never written, and an access to device memory that is not allocated.
//
// Within a launch, blocks may pass data to each other as the pattern "last block done" does: one writes, calls __threadfence and then an
// atomic function; the other calls an atomic function on the same word and then reads.
#include "race.h"
#include <dlfcn.h>
#include <sys/mman.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <unordered_map>
#include <vector>
#include "../gpu.h"
#include "block.h"
#include "shared.h"

#define UNCHECKED EMULATOR_UNCHECKED

namespace castor::emulator::race {
namespace {

struct Access {
  uint32_t block;     // a different number for each block of each launch; 0 means none
  uint32_t barriers, fences;  // number that the block, and the warp, had passed
  uint16_t thread;
  bool atomic;
  uint32_t published;  // number of calls of __threadfence by the block so far
};
struct Cell {  // for one byte
  Access write, read;
};

constexpr size_t HEAP = size_t(1) << 30, ALIGNMENT = 256, ZONE = 64;

template <class T> T *map_zeros(size_t count) {
  void *const data = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) std::abort();
  return static_cast<T *>(data);
}

// The allocated device memory, as intervals that do not touch.
class Regions {
 public:
  void add(uintptr_t from, uintptr_t to) {
    remove(from, to);
    ends_[from] = to;
  }
  void remove(uintptr_t from, uintptr_t to) {
    last_ = {};
    for (auto i = first_after(from); i != ends_.end() && i->first < to;) {
      const auto [begin, end] = *i;
      i = ends_.erase(i);
      if (begin < from) ends_[begin] = from;
      if (end > to) ends_[to] = end;
    }
  }
  bool holds(uintptr_t from, uintptr_t to) {
    if (from >= last_.first && to <= last_.second) return true;
    const auto i = first_after(from);
    if (i == ends_.end() || i->first > from || to > i->second) return false;
    last_ = *i;
    return true;
  }

 private:
  std::map<uintptr_t, uintptr_t>::iterator first_after(uintptr_t at) {
    auto i = ends_.upper_bound(at);
    if (i != ends_.begin() && std::prev(i)->second > at) --i;
    return i;
  }
  std::map<uintptr_t, uintptr_t> ends_;
  std::pair<uintptr_t, uintptr_t> last_{};
};

// Whether this thread of the system is the one that runs a kernel. In this TLS model an access needs no function call.
__attribute__((tls_model("initial-exec"))) thread_local bool runs_block = false;
UNCHECKED bool in_kernel() { return runs_block && block.current() != NONE; }


// Suspends the checker while it calls functions that may be instances of templates that the compiler instrumented.
struct Pause {
  UNCHECKED Pause() { runs_block = false; }
  UNCHECKED ~Pause() { runs_block = true; }
};

struct Checker {
  unsigned char *heap = map_zeros<unsigned char>(HEAP);
  Cell *heap_cells = map_zeros<Cell>(HEAP), *shared_cells = map_zeros<Cell>(Shared::ARENA);
  size_t top = 0;
  int mapped = 0;
  Regions allocated;
  uint32_t blocks = 0, first_block = 0;  // number of blocks so far; the first one of this launch
  const void *pc = nullptr;        // address of the access, or
  const Place *place = nullptr;    // its place in the source, for an access by a function of the emulator

  // For this launch: up to which fence each block has published its writes by an atomic function on a word, and which words the running
  // block has read.
  std::unordered_map<const void *, std::unordered_map<uint32_t, uint32_t>> released;
  std::vector<const void *> acquired;
  uint32_t fences = 0;

  bool is_ordered(const Access &other, bool in_shared) const;
  bool is_handed_over(const Access &other) const;
  [[noreturn]] void report(const char *what, const unsigned char *at, const Access *other);
  void access(const void *data, size_t bytes, bool write, bool atomic);
  void access_byte(Cell &cell, const unsigned char *at, bool in_shared, bool write, const Access &me);
};

UNCHECKED Checker &checker() {
  static Checker &one = *new Checker;
  return one;
}

UNCHECKED bool Checker::is_handed_over(const Access &other) const {
  for (const void *word : acquired) {
    const auto &blocks_of_word = released.at(word);
    const auto found = blocks_of_word.find(other.block);
    if (found != blocks_of_word.end() && found->second > other.published) return true;
  }
  return false;
}

// Whether the access of the other thread is certainly finished.
UNCHECKED bool Checker::is_ordered(const Access &other, bool in_shared) const {
  if (other.block < (in_shared ? blocks : first_block))
    return true;  // no access, or one of an earlier launch; for shared memory, one of another block
  if (other.block != blocks) return is_handed_over(other);
  const int me = block.current();
  if (other.thread == me || other.barriers != block.barriers()) return true;
  return other.thread / LANES == me / LANES && other.fences != block.warp_of(me).fences;
}

// A command that prints the source line, because debug information cannot be read here.
UNCHECKED std::string line_of(const void *pc) {
  Dl_info module{};
  dladdr(pc, &module);
  char text[32];
  std::snprintf(text, sizeof text, "0x%zx", size_t(static_cast<const char *>(pc) - static_cast<const char *>(module.dli_fbase)) - 1);
  return std::string("addr2line -ipfCe ") + (module.dli_fname ? module.dli_fname : "?") + " " + text;
}

UNCHECKED void Checker::report(const char *what, const unsigned char *at, const Access *other) {
  char address[96], who[64] = "";
  if (shared.contains(at, 1)) std::snprintf(address, sizeof address, "byte %zu of shared memory", shared.offset_of(at));
  else std::snprintf(address, sizeof address, "address %p", static_cast<const void *>(at));
  if (other)
    std::snprintf(who, sizeof who, "; the other is thread %d of %s block", other->thread, other->block == blocks ? "the same" : "another");
  emulator::fail(std::string(what) + " at " + address + who + ", " + (place ? to_string(*place) : line_of(pc)),
                 other ? cudaErrorLaunchFailure : cudaErrorIllegalAddress);
}


UNCHECKED void Checker::access_byte(Cell &cell, const unsigned char *at, bool in_shared, bool write, const Access &me) {
  const auto expect_ordered = [&](const Access &other, const char *race) UNCHECKED {
    if (!is_ordered(other, in_shared)) report(race, at, &other);
  };
  if (in_shared && !write && cell.write.block != blocks) report("a read of shared memory that nobody wrote", at, nullptr);
  if (!(me.atomic && cell.write.atomic))
    expect_ordered(cell.write, write ? "two writes without order" : "a read without order after a write");
  if (!write) {
    // One reader is recorded. The first reader other than the writer is the one with which most accesses conflict.
    if (is_ordered(cell.read, in_shared)) cell.read = me;
    return;
  }
  expect_ordered(cell.read, "a write without order after a read");
  cell.write = me;
}

UNCHECKED void Checker::access(const void *data, size_t bytes, bool write, bool atomic) {
  const Pause pause;
  const int thread = block.current();
  const auto *at = static_cast<const unsigned char *>(data);
  const bool in_heap = at >= heap && at < heap + HEAP, in_shared = !in_heap && shared.contains(at, 1);
  if (bytes == 0 || (!in_heap && !in_shared)) return;
  if (in_heap && !allocated.holds(uintptr_t(at), uintptr_t(at) + bytes)) report("an access outside of all allocations", at, nullptr);
  const Access me{blocks, block.barriers(), block.warp_of(thread).fences, uint16_t(thread), atomic, fences};
  Cell *cell = in_heap ? heap_cells + (at - heap) : shared_cells + shared.offset_of(at);
  for (size_t i = 0; i < bytes; i++) access_byte(cell[i], at + i, in_shared, write, me);
}

}  // namespace

namespace {
UNCHECKED void access_at(const void *data, size_t bytes, bool write, const Place &place) {
  if (!in_kernel()) return;
  checker().place = &place;
  checker().access(data, bytes, write, false);
  checker().place = nullptr;
}
}  // namespace

UNCHECKED void reads(const void *data, size_t bytes, const Place &place) { access_at(data, bytes, false, place); }
UNCHECKED void writes(const void *data, size_t bytes, const Place &place) { access_at(data, bytes, true, place); }
UNCHECKED void writes_atomically(const void *data, size_t bytes) {
  if (!in_kernel()) return;
  checker().pc = __builtin_return_address(0);
  Checker &c = checker();
  c.access(data, bytes, true, true);
  const Pause pause;
  auto &blocks = c.released[data];
  if (std::find(c.acquired.begin(), c.acquired.end(), data) == c.acquired.end()) c.acquired.push_back(data);
  if (c.fences > 0) blocks[c.blocks] = c.fences;
}
void fences() { checker().fences++; }
void begins_launch() {
  checker().first_block = checker().blocks + 1;
  checker().released.clear();
}
void begins_block() {
  checker().place = nullptr;
  checker().blocks++;
  checker().acquired.clear();
  checker().fences = 0;
  runs_block = true;
}
void ends_block() { runs_block = false; }
void allocates(const void *data, size_t bytes) { checker().allocated.add(uintptr_t(data), uintptr_t(data) + bytes); }
void frees(const void *data, size_t bytes) { checker().allocated.remove(uintptr_t(data), uintptr_t(data) + bytes); }

void *map(size_t bytes) {
  Checker &c = checker();
  const size_t from = (c.top + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (from + bytes + ZONE > HEAP) return nullptr;
  c.top = from + bytes + ZONE;
  c.mapped++;
  return c.heap + from;
}
void unmap(void *data, size_t bytes) {
  Checker &c = checker();
  frees(data, bytes);
  if (--c.mapped == 0) c.top = 0;
}

}  // namespace castor::emulator::race

// ---- functions that the compiler calls -------------------------------------------------------------------------------------

using namespace castor::emulator::race;

#define EMULATOR_HOOK(name, check) \
  extern "C" UNCHECKED void name(void *data) { \
    if (!in_kernel()) return; \
    checker().pc = __builtin_return_address(0); \
    check; \
  }
#define EMULATOR_HOOKS(bytes) \
  EMULATOR_HOOK(__tsan_read##bytes, checker().access(data, bytes, false, false)) \
  EMULATOR_HOOK(__tsan_write##bytes, checker().access(data, bytes, true, false)) \
  EMULATOR_HOOK(__tsan_unaligned_read##bytes, checker().access(data, bytes, false, false)) \
  EMULATOR_HOOK(__tsan_unaligned_write##bytes, checker().access(data, bytes, true, false))
EMULATOR_HOOKS(1)
EMULATOR_HOOKS(2)
EMULATOR_HOOKS(4)
EMULATOR_HOOKS(8)
EMULATOR_HOOKS(16)
#define EMULATOR_RANGE_HOOK(name, write) \
  extern "C" UNCHECKED void name(void *data, long bytes) { \
    if (!in_kernel()) return; \
    checker().pc = __builtin_return_address(0); \
    checker().access(data, size_t(bytes), write, false); \
  }
EMULATOR_RANGE_HOOK(__tsan_read_range, false)
EMULATOR_RANGE_HOOK(__tsan_write_range, true)

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void **) {}
void __tsan_vptr_update(void **, void *) {}
// The compiler calls these for the guards of static variables.
#define CASTOR_ATOMIC(bits, T)                                                                                            \
  T __tsan_atomic##bits##_load(const volatile T *p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }                \
  void __tsan_atomic##bits##_store(volatile T *p, T x, int) { __atomic_store_n(p, x, __ATOMIC_SEQ_CST); }
CASTOR_ATOMIC(8, unsigned char)
CASTOR_ATOMIC(32, int)
#undef CASTOR_ATOMIC
}
