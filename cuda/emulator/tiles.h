// The emulation of gpu.h's PTX instructions.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cmath>
#include "failure.h"
#include "intrinsics.h"

namespace castor::emulator {

// The copy is made at the wait; until then the destination is garbage. So a wrong number of groups, a missing wait or an early reuse is
// noticed.
void copy_async(void *shared, const void *global, int bytes, int width, Place place);
void commit_copies();
void wait_for_copies(int groups_in_flight);

inline float flush(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

}  // namespace castor::emulator

namespace gpu {

using Place = castor::emulator::Place;

inline void cp_async16(void *shared, const void *global, int bytes = 16, Place place = Place::current()) {
  castor::emulator::copy_async(shared, global, bytes, 16, place);
}
inline void cp_async16_if(bool inside, void *shared, const void *global, Place place = Place::current()) {
  castor::emulator::copy_async(shared, global, inside ? 16 : 0, 16, place);
}
inline void cp_async8(void *shared, const void *global, int bytes = 8, Place place = Place::current()) {
  castor::emulator::copy_async(shared, global, bytes, 8, place);
}
inline void cp_async4(void *shared, const void *global, int bytes = 4, Place place = Place::current()) {
  castor::emulator::copy_async(shared, global, bytes, 4, place);
}
inline void cp_async_commit() { castor::emulator::commit_copies(); }
template <int N> void cp_async_wait() { castor::emulator::wait_for_copies(N); }

void ldmatrix_x4(uint32_t (&r)[4], const void *row, Place place = Place::current());
void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row, Place place = Place::current());
void ldmatrix_x2(uint32_t (&r)[2], const void *row, Place place = Place::current());
void ldmatrix_x2_trans(uint32_t (&r)[2], const void *row, Place place = Place::current());

void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __half, Place place = Place::current());
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __nv_bfloat16, Place place = Place::current());
void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Place place = Place::current());
uint32_t to_tf32(float x);

inline float exp2_approx(float x) { return castor::emulator::flush(std::exp2(castor::emulator::flush(x))); }
inline float log2_approx(float x) { return std::log2(castor::emulator::flush(x)); }
inline float reciprocal_approx(float x) { return castor::emulator::flush(1 / castor::emulator::flush(x)); }
inline float rsqrt_approx(float x) { return 1 / std::sqrt(castor::emulator::flush(x)); }
inline float tanh_approx(float x) { return std::tanh(x); }

}  // namespace gpu
