// emu.cpp - fibers, block scheduler, warp/block rendezvous, shared arena, cp.async, mma.
#include "../gpu.h"
#include "emu_rt.h"
#include <sys/mman.h>
#include <stdlib.h>
#include <vector>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define EMU_ASAN 1
#else
#define EMU_ASAN 0
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif

// ---- context switch -------------------------------------------------------------
#if defined(__x86_64__) && !defined(EMU_UCONTEXT)
asm(R"(.text
.globl emu_switch
.type emu_switch,@function
emu_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size emu_switch,.-emu_switch
.section .note.GNU-stack,"",@progbits
.text
)");
extern "C" void emu_switch(void** save_sp, void* to_sp);
#else
#include <ucontext.h>
#endif

namespace emu {
static Options g_opt; static Stats g_stats; static std::string g_err;
Options& options() { return g_opt; }
Stats& stats() { return g_stats; }
std::string take_error() { std::string e; e.swap(g_err); return e; }

enum : uint8_t { kNew, kRunnable, kAtWarp, kAtBlock, kDone };
constexpr int kMaxThreads = 1024;
constexpr size_t kStack = 128 * 1024, kGuard = 4096;

struct Copy { void* dst; const void* src; int n, size; };
struct Thread {
  uint8_t state; int fiber; const char* kind; Loc loc; uint3 idx;
  std::vector<Copy> open; std::vector<std::vector<Copy>> groups;
};
struct Fiber {
  void* sp = nullptr; char* lo = nullptr; int thread = -1; void* fake = nullptr;
#if !(defined(__x86_64__) && !defined(EMU_UCONTEXT))
  ucontext_t uc;
#endif
};
struct Op { uint32_t mask = 0, arrived = 0; const char* kind; WarpFn fn; Loc loc; bool fence; void* arg[32]; };
struct Warp { uint32_t live; int nops; Op op[4]; };
struct Static { const void* key; size_t off, bytes; };

struct Exec {
  Thread th[kMaxThreads]; Warp warp[32]; uint64_t run[16]; int nrun = 0, n = 0, live = 0, cursor = 0, cur = -1, forced = -1, start = 0, dir = 0;
  std::vector<Fiber> fib; std::vector<int> free_fib; int cur_fiber = -1;
  void* sched_sp = nullptr; const void* sched_lo = nullptr; size_t sched_sz = 0; void* sched_fake = nullptr;
#if !(defined(__x86_64__) && !defined(EMU_UCONTEXT))
  ucontext_t sched_uc;
#endif
  int bar_count = 0; const char* bar_kind = nullptr; Loc bar_loc; unsigned bar_pred = 0, bar_result = 0;
  bool failed = false, in_kernel = false, from_sched = false;
  const std::function<void()>* body = nullptr;
  unsigned char* arena = nullptr; size_t dyn = 0, used = 0, hi = 0, static_bytes = 0; std::vector<Static> statics;
  uint64_t rng = 1; dim3 cached_dim{0, 0, 0};
  uint32_t block_epoch = 0, warp_epoch[32];
};
static Exec X;
static const size_t kArena = 256 * 1024, kRed = 64;

static uint64_t rnd() { X.rng ^= X.rng << 13; X.rng ^= X.rng >> 7; X.rng ^= X.rng << 17; return X.rng; }

// ---- runnable set ------------------------------------------------------------------
static void set_run(int t) { X.run[t >> 6] |= 1ull << (t & 63); X.nrun++; }
static void clr_run(int t) { X.run[t >> 6] &= ~(1ull << (t & 63)); X.nrun--; }
static int find_up(int from) {
  int w = from >> 6; uint64_t m = X.run[w] & (~0ull << (from & 63));
  for (int i = 0; i <= 16; i++) { if (m) return ((w & 15) << 6) + __builtin_ctzll(m); w = (w + 1) & 15; m = X.run[w]; }
  return -1;
}
static int find_down(int from) {
  int w = from >> 6; uint64_t m = X.run[w] & (~0ull >> (63 - (from & 63)));
  for (int i = 0; i <= 16; i++) { if (m) return (w << 6) + 63 - __builtin_clzll(m); w = (w - 1) & 15; m = X.run[w]; }
  return -1;
}
static int pick() {
  if (X.forced >= 0) { int t = X.forced; X.forced = -1; return t; }
  if (!X.nrun) return -1;
  switch (g_opt.order) {
    case Order::Forward: { int t = find_up(X.cursor); X.cursor = (t + 1) & 1023; return t; }
    case Order::Reverse: { int t = find_down(X.cursor); X.cursor = (t - 1) & 1023; return t; }
    case Order::SkewLow: return find_up(0);
    case Order::SkewHigh: return find_down(1023);
    case Order::RandomSkew: return X.dir ? find_up(X.start) : find_down(X.start);   // one random priority order a block
    default: return find_up((int)(rnd() % (unsigned)X.n));
  }
}

// ---- fibers ----------------------------------------------------------------------------
static void fiber_loop();
extern "C" void emu_fiber_entry() {
#if EMU_ASAN
  __sanitizer_finish_switch_fiber(nullptr, X.from_sched ? &X.sched_lo : nullptr, X.from_sched ? &X.sched_sz : nullptr); X.from_sched = false;
#endif
  fiber_loop(); abort();
}
static void init_fiber(Fiber& f) {
#if defined(__x86_64__) && !defined(EMU_UCONTEXT)
  // spread the stacks over cache sets: identical page offsets would fight for the same L1 lines
  size_t colour = (size_t)(&f - X.fib.data()) * 320 % 4096 & ~size_t(63);
  void** sp = reinterpret_cast<void**>(f.lo + kStack - colour);
  *--sp = nullptr; *--sp = reinterpret_cast<void*>(&emu_fiber_entry);
  for (int i = 0; i < 6; i++) *--sp = nullptr;
  f.sp = sp;
#else
  getcontext(&f.uc); f.uc.uc_stack.ss_sp = f.lo; f.uc.uc_stack.ss_size = kStack; f.uc.uc_link = nullptr;
  makecontext(&f.uc, emu_fiber_entry, 0);
#endif
  f.fake = nullptr;
}
static int get_fiber() {
  if (X.free_fib.empty()) {
    char* m = static_cast<char*>(mmap(nullptr, kStack + kGuard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (m == MAP_FAILED) abort();
    mprotect(m, kGuard, PROT_NONE);
    Fiber f; f.lo = m + kGuard; X.fib.push_back(f); init_fiber(X.fib.back());
    return (int)X.fib.size() - 1;
  }
  int i = X.free_fib.back(); X.free_fib.pop_back(); return i;
}
static void to_scheduler() {
  Fiber& f = X.fib[X.cur_fiber];
#if EMU_ASAN
  __sanitizer_start_switch_fiber(&f.fake, X.sched_lo, X.sched_sz);
#endif
#if defined(__x86_64__) && !defined(EMU_UCONTEXT)
  emu_switch(&f.sp, X.sched_sp);
#else
  swapcontext(&f.uc, &X.sched_uc);
#endif
#if EMU_ASAN
  __sanitizer_finish_switch_fiber(X.fib[X.cur_fiber].fake, X.from_sched ? &X.sched_lo : nullptr, X.from_sched ? &X.sched_sz : nullptr); X.from_sched = false;
#endif
}
static void to_other_fiber(int i) {       // fiber -> fiber, without the hop through the scheduler
  int me = X.cur_fiber; X.cur_fiber = i; g_stats.switches++;
#if EMU_ASAN
  __sanitizer_start_switch_fiber(&X.fib[me].fake, X.fib[i].lo, kStack);
#endif
#if defined(__x86_64__) && !defined(EMU_UCONTEXT)
  emu_switch(&X.fib[me].sp, X.fib[i].sp);
#else
  swapcontext(&X.fib[me].uc, &X.fib[i].uc);
#endif
#if EMU_ASAN
  __sanitizer_finish_switch_fiber(X.fib[X.cur_fiber].fake, X.from_sched ? &X.sched_lo : nullptr, X.from_sched ? &X.sched_sz : nullptr); X.from_sched = false;
#endif
}
static void to_fiber(int i) {
  X.cur_fiber = i; X.from_sched = true; g_stats.switches++;
#if EMU_ASAN
  __sanitizer_start_switch_fiber(&X.sched_fake, X.fib[i].lo, kStack);
#endif
#if defined(__x86_64__) && !defined(EMU_UCONTEXT)
  emu_switch(&X.sched_sp, X.fib[i].sp);
#else
  swapcontext(&X.sched_uc, &X.fib[i].uc);
#endif
#if EMU_ASAN
  __sanitizer_finish_switch_fiber(X.sched_fake, nullptr, nullptr);
#endif
}
static void become(int t) { X.cur = t; threadIdx = X.th[t].idx; }

// ---- failure ---------------------------------------------------------------------------
static std::string where(int t) {
  char b[160]; const uint3& i = X.th[t].idx;
  snprintf(b, sizeof b, "block (%u,%u,%u) thread (%u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z, i.x, i.y, i.z); return b;
}
static std::string at(const Loc& l) {
  const char* f = strrchr(l.file_name(), '/'); return std::string(f ? f + 1 : l.file_name()) + ":" + std::to_string(l.line()) + ":" + std::to_string(l.column()) + " in " + l.function_name();
}
void record_fail(const std::string& m) { if (g_err.empty()) g_err = (X.cur >= 0 && X.in_kernel ? where(X.cur) + ": " : "") + m; X.failed = true; }
void device_fail(const std::string& m) { record_fail(m); if (!X.in_kernel) { fprintf(stderr, "%s\n", m.c_str()); abort(); } to_scheduler(); abort(); }

static bool same(const Loc& a, const Loc& b) { return a.line() == b.line() && a.column() == b.column(); }
// ---- rendezvous ---------------------------------------------------------------------------
static void block_here(uint8_t st, const char* kind, Loc loc) {
  Thread& t = X.th[X.cur]; int me = X.cur;
  t.state = st; t.kind = kind; t.loc = loc; clr_run(me);
  int nx = pick();
  if (nx < 0) { to_scheduler(); return; }          // deadlock, or only the scheduler can go on
  Thread& n = X.th[nx];
  if (n.state == kNew) { n.state = kRunnable; n.fiber = get_fiber(); }
  become(nx); to_other_fiber(n.fiber);
}
static void wake(int t) { X.th[t].state = kRunnable; set_run(t); }
static void complete(int w, int i) {
  Warp& W = X.warp[w]; Op op = W.op[i]; W.op[i] = W.op[--W.nops];
  WarpCtx c; c.mask = op.mask; c.live = op.arrived; memcpy(c.arg, op.arg, sizeof c.arg);
  op.fn(c);
  if (op.fence) X.warp_epoch[w]++;
  for (uint32_t m = op.arrived; m; m &= m - 1) { int t = w * 32 + __builtin_ctz(m); if (X.th[t].state == kAtWarp) wake(t); }
}
void collective(uint32_t mask, const char* kind, WarpFn fn, void* arg, Loc loc, bool fence) {
  int w = X.cur >> 5, l = X.cur & 31; Warp& W = X.warp[w]; g_stats.collectives++;
  if (!(mask >> l & 1)) device_fail(std::string(kind) + ": calling lane is not in its own mask, at " + at(loc));
  int i = 0; while (i < W.nops && !(W.op[i].mask & mask)) i++;
  if (i == W.nops) {
    if (i == 4) device_fail("too many warp operations in flight");
    Op& o = W.op[W.nops++]; o.mask = mask; o.arrived = 0; o.kind = kind; o.fn = fn; o.loc = loc; o.fence = fence;
  } else if (W.op[i].mask != mask || W.op[i].fn != fn || !same(W.op[i].loc, loc))
    device_fail(std::string("divergent warp operation: ") + kind + " at " + at(loc) + " while other lanes wait in " + W.op[i].kind + " at " + at(W.op[i].loc));
  W.op[i].arg[l] = arg; W.op[i].arrived |= 1u << l;
  if (W.op[i].arrived == (mask & W.live)) complete(w, i);
  else block_here(kAtWarp, kind, loc);
}
static void release_barrier() {
  X.bar_result = X.bar_pred; X.bar_pred = 0; X.bar_count = 0; X.bar_kind = nullptr; X.block_epoch++;
  for (int t = 0; t < X.n; t++) if (X.th[t].state == kAtBlock) wake(t);
}
unsigned block_barrier(const char* kind, unsigned pred, Loc loc) {
  g_stats.barriers++;
  if (X.bar_count && (!same(X.bar_loc, loc) || X.bar_kind != kind))
    device_fail(std::string("divergent barrier: ") + kind + " at " + at(loc) + " while other threads wait at " + at(X.bar_loc));
  X.bar_kind = kind; X.bar_loc = loc; X.bar_pred += pred; X.bar_count++;
  if (X.bar_count == X.live) release_barrier(); else block_here(kAtBlock, kind, loc);
  return X.bar_result;
}
void thread_yield() { to_scheduler(); }
uint32_t lane_id() { return X.cur & 31; }

static void flush(std::vector<Copy>& g);
static void fiber_loop() {
  for (;;) {
    int me = X.cur; (*X.body)();
    Thread& t = X.th[me];
    if (!t.open.empty() || !t.groups.empty()) record_fail("cp.async still in flight at thread exit");
    t.state = kDone; clr_run(me); X.live--;
    Warp& W = X.warp[me >> 5]; W.live &= ~(1u << (me & 31));
    for (int i = 0; i < W.nops; i++) if (W.op[i].arrived && W.op[i].arrived == (W.op[i].mask & W.live)) { complete(me >> 5, i); i--; }
    if (X.live && X.bar_count == X.live) release_barrier();
    int nx = X.failed ? -1 : pick();
    if (nx >= 0 && X.th[nx].state == kNew) {       // fast path: next thread starts on this very stack
      X.th[nx].state = kRunnable; X.th[nx].fiber = X.cur_fiber; become(nx); continue;
    }
    X.free_fib.push_back(X.cur_fiber);
    if (nx >= 0) { become(nx); to_other_fiber(X.th[nx].fiber); } else to_scheduler();
  }
}

// ---- grid ---------------------------------------------------------------------------------
static void abandon() {                              // after a failure: throw the fibers' stacks away
  for (auto& f : X.fib) { ASAN_UNPOISON_MEMORY_REGION(f.lo, kStack); init_fiber(f); }
  X.free_fib.clear(); for (int i = (int)X.fib.size() - 1; i >= 0; i--) X.free_fib.push_back(i);
}
static void run_block(size_t smem) {
  memset(X.run, 0, sizeof X.run); X.nrun = 0; X.live = X.n; X.bar_count = 0; X.bar_pred = 0; X.forced = -1; X.failed = false;
  X.cursor = g_opt.order == Order::Reverse ? X.n - 1 : 0; X.block_epoch++;
  for (int t = 0; t < X.n; t++) { Thread& h = X.th[t]; h.state = kNew; h.open.clear(); h.groups.clear(); set_run(t); }
  for (int w = 0; w * 32 < X.n; w++) { int k = X.n - w * 32; X.warp[w].live = k >= 32 ? ~0u : (1u << k) - 1; X.warp[w].nops = 0; X.warp_epoch[w]++; }
  // shared memory starts as NaN / -1 garbage and, under ASan, only what was asked for is addressable
  ASAN_POISON_MEMORY_REGION(X.arena, kArena);
  X.dyn = smem; X.used = (smem + kRed + 127) & ~size_t(127); X.hi = X.used; X.statics.clear(); X.static_bytes = 0;
  ASAN_UNPOISON_MEMORY_REGION(X.arena, smem); memset(X.arena, 0xff, smem);
  X.start = (int)(rnd() % (unsigned)X.n); X.dir = rnd() >> 20 & 1;
  X.in_kernel = true;
  while (X.live && !X.failed) {
    int t = pick();
    if (t < 0) {
      std::string m = "deadlock; waiting:"; int k = 0;
      for (int i = 0; i < X.n && k < 4; i++) if (X.th[i].state == kAtWarp || X.th[i].state == kAtBlock) { if (k && X.th[i].kind == X.th[i - 1].kind && X.th[i].loc.line() == X.th[i - 1].loc.line()) continue; m += "\n    " + where(i) + " in " + X.th[i].kind + " at " + at(X.th[i].loc); k++; }
      X.cur = -1; record_fail(m); break;
    }
    Thread& h = X.th[t];
    if (h.state == kNew) { h.state = kRunnable; h.fiber = get_fiber(); }
    become(t); to_fiber(h.fiber);
  }
  X.in_kernel = false; X.cur = -1; g_stats.blocks++; g_stats.threads += X.n;
  ASAN_UNPOISON_MEMORY_REGION(X.arena, kArena);
  if (X.failed) abandon();
}
cudaError_t run_grid(dim3 g, dim3 b, size_t smem, const std::function<void()>& body, const char* what) {
  size_t n = (size_t)b.x * b.y * b.z; g_stats.launches++;
  if (n == 0 || n > kMaxThreads || b.z > 64 || !g.x || !g.y || !g.z || g.y > 65535 || g.z > 65535 || smem > g_opt.max_smem) {
    record_fail(std::string(what) + ": invalid launch configuration"); return cudaErrorInvalidConfiguration; }
  if (!X.arena) X.arena = static_cast<unsigned char*>(aligned_alloc(1024, kArena));
  X.fib.reserve(kMaxThreads + 8);
  X.n = (int)n; X.body = &body; blockDim = b; gridDim = g; X.rng = g_opt.seed * 0x9E3779B97F4A7C15ull | 1;
  if (X.cached_dim.x != b.x || X.cached_dim.y != b.y || X.cached_dim.z != b.z) {
    for (unsigned t = 0; t < n; t++) X.th[t].idx = uint3{t % b.x, t / b.x % b.y, t / (b.x * b.y)};
    X.cached_dim = b; }
  race_begin_launch();
  size_t nb = (size_t)g.x * g.y * g.z; bool rev = g_opt.order == Order::Reverse || g_opt.order == Order::SkewHigh;
  for (size_t k = 0; k < nb; k++) {
    size_t i = rev ? nb - 1 - k : k;
    blockIdx = uint3{(unsigned)(i % g.x), (unsigned)(i / g.x % g.y), (unsigned)(i / ((size_t)g.x * g.y))};
    run_block(smem); if (X.failed) return cudaErrorLaunchFailure;
  }
  return cudaSuccess;
}

// ---- shared memory ---------------------------------------------------------------------------
void* static_shared(const void* key, size_t bytes, size_t align) {
  for (auto& s : X.statics) if (s.key == key) return X.arena + s.off;
  size_t off = (X.used + (align < 16 ? 15 : align - 1)) & ~((align < 16 ? size_t(16) : align) - 1);
  X.static_bytes += bytes;
  if (X.static_bytes > g_opt.max_static_smem || X.static_bytes + X.dyn > g_opt.max_smem || off + bytes + kRed > kArena)
    device_fail("too much shared memory: " + std::to_string(X.static_bytes) + " static + " + std::to_string(X.dyn) + " dynamic bytes");
  X.statics.push_back({key, off, bytes}); X.used = off + bytes + kRed; X.hi = X.used;
  ASAN_UNPOISON_MEMORY_REGION(X.arena + off, bytes); memset(X.arena + off, 0xff, bytes);
  return X.arena + off;
}
void* dyn_shared() { return X.arena; }
bool is_shared(const void* p, size_t n) { auto c = static_cast<const unsigned char*>(p); return c >= X.arena && c + n <= X.arena + kArena; }

// ---- cp.async: the copy really happens only at the wait -----------------------------------------
void cp_async(void* dst, const void* src, int n, int size, Loc loc) {
  if ((uintptr_t)dst % size || (uintptr_t)src % size) device_fail("cp.async: address not a multiple of its " + std::to_string(size) + " bytes, at " + at(loc));
  if (!is_shared(dst, size)) device_fail("cp.async: destination is not shared memory, at " + at(loc));
  if (n < 0 || n > size) device_fail("cp.async: bad source size, at " + at(loc));
#if EMU_ASAN
  if (__asan_region_is_poisoned(dst, size) || (n && __asan_region_is_poisoned(const_cast<void*>(src), n))) device_fail("cp.async: out of bounds, at " + at(loc));
#endif
  note_write(dst, size); if (n) note_read(src, n);    // hazards counted from the issue
  memset(dst, 0xff, size);                            // undefined from issue to wait: poison it
  X.th[X.cur].open.push_back({dst, src, n, size});
}
static void flush(std::vector<Copy>& g) { for (auto& c : g) { memcpy(c.dst, c.src, c.n); memset((char*)c.dst + c.n, 0, c.size - c.n); note_write(c.dst, c.size); } }
void cp_commit() { auto& t = X.th[X.cur]; t.groups.push_back(std::move(t.open)); t.open.clear(); }
void cp_wait(int n) { auto& t = X.th[X.cur]; while ((int)t.groups.size() > n) { flush(t.groups.front()); t.groups.erase(t.groups.begin()); } }

// ---- tensor-core tiles ---------------------------------------------------------------------------
struct LdArg { const void* row; uint32_t* r; bool bad; };
template <bool TR, int N> static void ld_fn(WarpCtx& w) {
  if (w.live != ~0u) { for (int l = 0; l < 32; l++) if (w.live >> l & 1) static_cast<LdArg*>(w.arg[l])->bad = true; return; }
  const uint16_t* rows[32]; LdArg* a[32];
  for (int l = 0; l < 32; l++) { a[l] = static_cast<LdArg*>(w.arg[l]); rows[l] = static_cast<const uint16_t*>(a[l]->row); }
  for (int l = 0; l < 32; l++) for (int i = 0; i < N; i++) {
    uint32_t lo, hi;
    if (!TR) { const uint16_t* p = rows[i * 8 + l / 4] + l % 4 * 2; lo = p[0]; hi = p[1]; }
    else { lo = rows[i * 8 + l % 4 * 2][l / 4]; hi = rows[i * 8 + l % 4 * 2 + 1][l / 4]; }
    a[l]->r[i] = lo | hi << 16;
  }
}
template <bool TR, int N> static void ldmatrix(uint32_t* r, const void* row, Loc loc) {
  if ((uintptr_t)row % 16) device_fail("ldmatrix: row address not 16-byte aligned, at " + at(loc));
  if (!is_shared(row, 16)) device_fail("ldmatrix: row is not in shared memory, at " + at(loc));
#if EMU_ASAN
  if (__asan_region_is_poisoned(const_cast<void*>(row), 16)) device_fail("ldmatrix: row outside the allocated shared memory, at " + at(loc));
#endif
  if (int(lane_id()) < N * 8) note_read(row, 16);
  LdArg a{row, r, false}; collective(~0u, TR ? "ldmatrix.trans" : "ldmatrix", ld_fn<TR, N>, &a, loc);
  if (a.bad) device_fail("ldmatrix: some lanes of the warp have exited, at " + at(loc));
}
struct MmaArg { float* d; const uint32_t *a, *b; bool bad; };
static float h2f(uint16_t v) {
  static float* tab = [] { static float t[65536]; for (int i = 0; i < 65536; i++) { __half_raw r; r.x = (uint16_t)i; t[i] = __half2float(__half(r)); } return t; }();
  return tab[v];
}
static float b2f(uint16_t v) { return emu_bits<float>((uint32_t)v << 16); }
template <float (*CV)(uint16_t)> static void mma_fn(WarpCtx& w) {
  if (w.live != ~0u) { for (int l = 0; l < 32; l++) if (w.live >> l & 1) static_cast<MmaArg*>(w.arg[l])->bad = true; return; }
  float A[16][16], B[16][8], D[16][8];
  for (int l = 0; l < 32; l++) {
    auto* p = static_cast<MmaArg*>(w.arg[l]); int g = l >> 2, t = l & 3;
    for (int i = 0; i < 4; i++) for (int h = 0; h < 2; h++) A[g + (i & 1) * 8][t * 2 + h + (i >> 1) * 8] = CV((uint16_t)(p->a[i] >> 16 * h));
    for (int i = 0; i < 2; i++) for (int h = 0; h < 2; h++) B[t * 2 + h + i * 8][g] = CV((uint16_t)(p->b[i] >> 16 * h));
    for (int i = 0; i < 4; i++) D[g + (i >> 1) * 8][t * 2 + (i & 1)] = p->d[i];
  }
  for (int m = 0; m < 16; m++) for (int k = 0; k < 16; k++) for (int n = 0; n < 8; n++) D[m][n] += A[m][k] * B[k][n];
  for (int l = 0; l < 32; l++) { auto* p = static_cast<MmaArg*>(w.arg[l]); int g = l >> 2, t = l & 3; for (int i = 0; i < 4; i++) p->d[i] = D[g + (i >> 1) * 8][t * 2 + (i & 1)]; }
}
template <float (*CV)(uint16_t)> static void mma(float* d, const uint32_t* a, const uint32_t* b, Loc loc) {
  MmaArg m{d, a, b, false}; collective(~0u, "mma.m16n8k16", mma_fn<CV>, &m, loc);
  if (m.bad) device_fail("mma: some lanes of the warp have exited, at " + at(loc));
}
static float tf32(uint32_t v) { return emu_bits<float>(v & ~0x1fffu); }
static void mma_tf32_fn(WarpCtx& w) {
  if (w.live != ~0u) { for (int l = 0; l < 32; l++) if (w.live >> l & 1) static_cast<MmaArg*>(w.arg[l])->bad = true; return; }
  float A[16][8], B[8][8], D[16][8];
  for (int l = 0; l < 32; l++) {
    auto* p = static_cast<MmaArg*>(w.arg[l]); int g = l >> 2, t = l & 3;
    for (int i = 0; i < 4; i++) A[g + (i & 1) * 8][t + (i >> 1) * 4] = tf32(p->a[i]);
    for (int i = 0; i < 2; i++) B[t + i * 4][g] = tf32(p->b[i]);
    for (int i = 0; i < 4; i++) D[g + (i >> 1) * 8][t * 2 + (i & 1)] = p->d[i];
  }
  for (int m = 0; m < 16; m++) for (int k = 0; k < 8; k++) for (int n = 0; n < 8; n++) D[m][n] += A[m][k] * B[k][n];
  for (int l = 0; l < 32; l++) { auto* p = static_cast<MmaArg*>(w.arg[l]); int g = l >> 2, t = l & 3; for (int i = 0; i < 4; i++) p->d[i] = D[g + (i >> 1) * 8][t * 2 + (i & 1)]; }
}
// ---- for the race build -----------------------------------------------------------------------------
int cur_thread() { return X.in_kernel ? X.cur : -1; }
uint32_t block_epoch() { return X.block_epoch; }
uint32_t warp_epoch() { return X.warp_epoch[X.cur >> 5]; }
const unsigned char* arena() { return X.arena; }
}  // namespace emu
namespace gpu {
void ldmatrix_x4(uint32_t (&r)[4], const void* row, emu::Loc l) { emu::ldmatrix<false, 4>(r, row, l); }
void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, emu::Loc l) { emu::ldmatrix<true, 4>(r, row, l); }
void ldmatrix_x2(uint32_t (&r)[2], const void* row, emu::Loc l) { emu::ldmatrix<false, 2>(r, row, l); }
void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, emu::Loc l) { emu::ldmatrix<true, 2>(r, row, l); }
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __half, emu::Loc l) { emu::mma<emu::h2f>(d, a, b, l); }
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __nv_bfloat16, emu::Loc l) { emu::mma<emu::b2f>(d, a, b, l); }
void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], emu::Loc l) {
  emu::MmaArg m{d, a, b, false}; emu::collective(~0u, "mma.m16n8k8", emu::mma_tf32_fn, &m, l);
  if (m.bad) emu::device_fail("mma: some lanes of the warp have exited, at " + emu::at(l));
}
}  // namespace gpu
