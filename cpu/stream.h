// Stores that bypass the cache, for outputs larger than the caches.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace castor::CASTOR_ISA {

// In bytes. A smaller output is better left in the cache, where the next op finds it.
constexpr int64_t STREAM_FROM = int64_t(8) << 20;

#if defined(__SSE2__)
// Like memcpy. After a series of calls the caller must call stream_fence, because such stores are not ordered with others.
static inline void stream_copy(void *to, const void *from, int64_t bytes) {
  auto *target = static_cast<char *>(to);
  auto *source = static_cast<const char *>(from);
  int64_t head = -reinterpret_cast<intptr_t>(target) & 31;
  if (head > bytes) head = bytes;
  memcpy(target, source, head);
  int64_t i = head;
  for (; i + 32 <= bytes; i += 32) {
#if defined(__AVX__)
    _mm256_stream_si256(reinterpret_cast<__m256i *>(target + i), _mm256_loadu_si256(reinterpret_cast<const __m256i *>(source + i)));
#else
    __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i *>(source + i));
    __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i *>(source + i + 16));
    _mm_stream_si128(reinterpret_cast<__m128i *>(target + i), low);
    _mm_stream_si128(reinterpret_cast<__m128i *>(target + i + 16), high);
#endif
  }
  memcpy(target + i, source + i, bytes - i);
}
static inline void stream_fence() { _mm_sfence(); }
#else
static inline void stream_copy(void *to, const void *from, int64_t bytes) { memcpy(to, from, bytes); }
static inline void stream_fence() {}
#endif

}  // namespace castor::CASTOR_ISA
