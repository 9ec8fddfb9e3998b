// emu_race.cpp - build the kernels with g++ -fsanitize=thread but link WITHOUT libtsan:
// the compiler's __tsan_* calls land here and become an exact race + uninitialised-read checker.
#include "../gpu.h"
#include "emu_rt.h"
#include <sys/mman.h>
#include <string.h>
#include <stdlib.h>
#include <map>
#include <dlfcn.h>
#define NT __attribute__((no_sanitize("thread")))
namespace emu {
// one cell per byte. who = block serial<<10 | thread
struct Cell { uint32_t wblk, rblk; uint16_t wthr, rthr; uint32_t wbe, rbe, wwe, rwe; uint8_t init, many, watom, live; };
static const size_t kHeap = 1ull << 30, kShm = 256 * 1024;
static unsigned char* g_heap; static size_t g_top; static Cell *g_hc, *g_sc; static uint32_t g_blk, g_launch_first;
static std::map<uintptr_t, size_t> g_dev;
static void setup() {
  if (g_heap) return;
  auto map = [](size_t n) { return mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); };
  g_heap = (unsigned char*)map(kHeap); g_hc = (Cell*)map(kHeap * sizeof(Cell)); g_sc = (Cell*)map(kShm * sizeof(Cell));
}
void* dev_alloc(size_t n) { setup(); g_top = (g_top + 255) & ~size_t(255); void* p = g_heap + g_top; if (g_top + n + 256 > kHeap) return nullptr;
  memset(p, 0xff, n); memset(g_hc + g_top, 0, n * sizeof(Cell)); for (size_t i = 0; i < n; i++) g_hc[g_top + i].live = 1;
  g_dev[(uintptr_t)p] = n; g_top += n + 64; return p; }
void dev_free(void* p) { auto it = g_dev.find((uintptr_t)p); size_t o = (unsigned char*)p - g_heap; for (size_t i = 0; i < it->second; i++) g_hc[o + i].live = 0; g_dev.erase(it); if (g_dev.empty()) g_top = 0; }
void race_begin_launch() { g_launch_first = ++g_blk; }
static NT void bump() {   // a new block starts: shared memory is new and uninitialised
  static uint3 last{~0u, 0, 0}; static uint32_t last_l;
  if (last.x != blockIdx.x || last.y != blockIdx.y || last.z != blockIdx.z || last_l != g_launch_first) {
    last = blockIdx; last_l = g_launch_first; g_blk++; memset(g_sc, 0, kShm * sizeof(Cell)); }
}
static const void* g_pc;
static NT void fail(const char* what, const void* a, int other, uint32_t ob) {
  Dl_info d{}; dladdr(g_pc, &d); char o[64] = "no other thread"; if (other >= 0) snprintf(o, sizeof o, "other side: thread %d of %s block", other, ob == g_blk ? "the same" : "another");
  char b[256]; snprintf(b, sizeof b, "%s at %s+%zu, %s, pc +0x%zx", what, is_shared(a, 1) ? "shared" : "global",
    is_shared(a, 1) ? (size_t)((const unsigned char*)a - arena()) : (size_t)((const unsigned char*)a - g_heap), o, (size_t)((const char*)g_pc - (const char*)d.dli_fbase) - 1);
  device_fail(b);
}
static NT void access(const void* a, size_t n, bool wr, bool atom) {
  int t = cur_thread(); if (t < 0) return;
  auto p = (const unsigned char*)a; Cell* c; bool sh = false;
  if (p >= g_heap && p < g_heap + kHeap) c = g_hc + (p - g_heap);
  else if (arena() && p >= arena() && p < arena() + kShm) { c = nullptr; sh = true; }
  else return;
  bump(); if (sh) c = g_sc + (p - arena());
  uint32_t be = block_epoch(), we = warp_epoch();
  for (size_t i = 0; i < n; i++, c++) {
    if (!sh && !c->live) fail("global access outside any allocation", p + i, -1, g_blk);
    bool wnew = c->wblk >= g_launch_first, rnew = c->rblk >= g_launch_first;
    auto ordered = [&](uint32_t blk, uint16_t thr, uint32_t obe, uint32_t owe) NT {
      if (blk != g_blk) return false;
      return thr == t || obe != be || ((thr >> 5) == (t >> 5) && owe != we); };
    if (wnew && !(atom && c->watom) && !ordered(c->wblk, c->wthr, c->wbe, c->wwe)) fail(wr ? "write-write race" : "read-after-write race", p + i, c->wthr, c->wblk);
    if (wr && rnew && !ordered(c->rblk, c->rthr, c->rbe, c->rwe) && !(c->rblk == g_blk && c->rbe != be)) fail("write-after-read race", p + i, c->rthr, c->rblk);
    if (wr) { c->wblk = g_blk; c->wthr = t; c->wbe = be; c->wwe = we; c->watom = atom; c->init = 1; }
    else {
      if (sh && !c->init) fail("read of uninitialised shared memory", p + i, -1, g_blk);
      // keep the reader most likely to conflict: one of another thread than the previous writer/reader
      if (!(c->rblk == g_blk && c->rbe == be && c->rthr != t)) { c->rblk = g_blk; c->rthr = t; c->rbe = be; c->rwe = we; }
    }
  }
}
NT void note_atomic(const void* p, size_t n) { access(p, n, true, true); }
NT void note_write(const void* p, size_t n) { access(p, n, true, false); }
NT void note_read(const void* p, size_t n) { access(p, n, false, false); }
}
using emu::access;
extern "C" {
#define PC emu::g_pc = __builtin_return_address(0)
#define RW(n) void __tsan_read##n(void* a) { PC; access(a, n, false, false); } void __tsan_write##n(void* a) { PC; access(a, n, true, false); } \
  void __tsan_unaligned_read##n(void* a) { PC; access(a, n, false, false); } void __tsan_unaligned_write##n(void* a) { PC; access(a, n, true, false); }
RW(1) RW(2) RW(4) RW(8) RW(16)
void __tsan_read_range(void* a, long n) { access(a, n, false, false); }
void __tsan_write_range(void* a, long n) { access(a, n, true, false); }
void __tsan_init() {} void __tsan_func_entry(void*) {} void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {} void __tsan_vptr_read(void**) {}
// C++ static-init guards and std::atomic in headers
unsigned char __tsan_atomic8_load(const volatile unsigned char* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
}
