// emu_rt.cpp - the few CUDA runtime entry points the library needs, on the host.
// Streams are real queues: with options().eager_streams == false nothing runs before a sync,
// and then streams are interleaved in seeded random order, so a missing event wait shows.
#include "../gpu.h"
#include "emu_rt.h"
#include <deque>
#include <map>
#include <set>
#include <string.h>
#include <stdlib.h>
#include <vector>

struct CUevent_st { uint64_t recorded = 0, done = 0; };
struct EmuOp { std::function<void()> fn; CUevent_st* ev; uint64_t gen; bool wait; };
struct CUstream_st { std::deque<EmuOp> q; };
static CUstream_st g_null;
static std::set<CUstream_st*> g_streams{&g_null};
static uint64_t g_rng = 0x9E3779B97F4A7C15ull;
static cudaError_t g_last = cudaSuccess;
static CUstream_st* S(cudaStream_t s) { return s == nullptr || s == cudaStreamLegacy || s == cudaStreamPerThread ? &g_null : s; }
static void step(CUstream_st* s) { EmuOp o = std::move(s->q.front()); s->q.pop_front(); if (o.fn) o.fn(); if (o.ev && !o.wait) o.ev->done = std::max(o.ev->done, o.gen); }
static bool ready(CUstream_st* s) { return !s->q.empty() && !(s->q.front().wait && s->q.front().ev->done < s->q.front().gen); }
// run until `stop` holds, choosing at random among streams whose head may run
static void pump(const std::function<bool()>& stop) {
  while (!stop()) {
    std::vector<CUstream_st*> r; for (auto* s : g_streams) if (ready(s)) r.push_back(s);
    if (r.empty()) { emu::record_fail("stream deadlock: an event that was waited for is never recorded"); g_last = cudaErrorLaunchFailure; return; }
    g_rng ^= g_rng << 13; g_rng ^= g_rng >> 7; g_rng ^= g_rng << 17;
    step(r[g_rng % r.size()]);
  }
}
static cudaError_t take() { return g_last; }
namespace emu {
cudaError_t enqueue(cudaStream_t s, std::function<void()> op) {
  if (options().eager_streams) { op(); } else S(s)->q.push_back({std::move(op), nullptr, 0, false});
  return cudaSuccess;
}
#ifndef EMU_RACE
static std::map<uintptr_t, size_t> g_dev;
void* dev_alloc(size_t n) { void* p = nullptr; if (posix_memalign(&p, 256, n ? n : 1)) return nullptr; memset(p, 0xff, n); g_dev[(uintptr_t)p] = n; return p; }
void dev_free(void* p) { g_dev.erase((uintptr_t)p); free(p); }
void race_begin_launch() {}
void note_atomic(const void*, size_t) {}
void note_write(const void*, size_t) {}
void note_read(const void*, size_t) {}
#endif
}
extern "C" {
cudaError_t cudaMalloc(void** p, size_t n) { *p = emu::dev_alloc(n); return *p ? cudaSuccess : cudaErrorMemoryAllocation; }
cudaError_t cudaFree(void* p) { cudaDeviceSynchronize(); if (p) emu::dev_free(p); return cudaSuccess; }
cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind, cudaStream_t st) { return emu::enqueue(st, [=] { memcpy(d, s, n); }); }
cudaError_t cudaMemsetAsync(void* d, int v, size_t n, cudaStream_t st) { return emu::enqueue(st, [=] { memset(d, v, n); }); }
cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind) { cudaDeviceSynchronize(); memcpy(d, s, n); return cudaSuccess; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) { *s = new CUstream_st; g_streams.insert(*s); return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t s) { pump([=] { return S(s)->q.empty(); }); return take(); }
cudaError_t cudaStreamDestroy(cudaStream_t s) { cudaStreamSynchronize(s); g_streams.erase(s); delete s; return cudaSuccess; }
cudaError_t cudaDeviceSynchronize() { pump([] { for (auto* s : g_streams) if (!s->q.empty()) return false; return true; }); return take(); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) { *e = new CUevent_st; return cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t e) { delete e; return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) { uint64_t g = ++e->recorded; S(s)->q.push_back({nullptr, e, g, false}); if (emu::options().eager_streams) cudaStreamSynchronize(s); return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) { if (e->recorded) S(s)->q.push_back({nullptr, e, e->recorded, true}); if (emu::options().eager_streams) cudaStreamSynchronize(s); return cudaSuccess; }
cudaError_t cudaEventQuery(cudaEvent_t e) { return e->done >= e->recorded ? cudaSuccess : cudaErrorNotReady; }
cudaError_t cudaEventSynchronize(cudaEvent_t e) { uint64_t g = e->recorded; pump([=] { return e->done >= g; }); return take(); }
cudaError_t cudaGetDeviceCount(int* n) { *n = 1; return cudaSuccess; }
cudaError_t cudaGetLastError() { cudaError_t e = g_last; g_last = cudaSuccess; return e; }
}
extern "C" {
cudaError_t cudaFuncSetAttribute(const void *, cudaFuncAttribute, int) { return cudaSuccess; }
const char *cudaGetErrorString(cudaError_t) { return "emulated failure"; }
}
