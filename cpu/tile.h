// A tile is a run of at most TILE contiguous elements in compute type, the type that arithmetic runs in: float for float32, float16 and
// bfloat16, double for float64, int64_t for int32, int64, uint8 and bool.
#pragma once
#if defined(__F16C__)
#include <immintrin.h>
#endif
#include "../kernels/dtype.h"
#include "vectors.h"

// Stands before a loop of which no iteration reads what another one writes, so that the compiler vectorises it without a check.
#if defined(__clang__)
#define CASTOR_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define CASTOR_IVDEP _Pragma("GCC ivdep")
#endif

namespace castor::CASTOR_ISA {

constexpr int TILE = 1024;
// Elements that a run is cut into where it is converted: so few that the processor, which looks ahead, reads the next ones while it works
// on these.
constexpr int STRIP = 256;

// to[i] = from[i], converted. GCC vectorises it for every pair of types without halves.
template <class T, class S> void convert_tile(T *to, const S *from, int64_t n) {
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) to[i] = convert<T>(from[i]);
}

// ---- a vector of floats, read from and written to memory as one of three types -------------------------------------------

#if defined(__AVX512F__)
constexpr __mmask16 ALL = 0xffff;  // GCC warns of the forms of these instructions that have no mask

static inline __m256i load_halves(const void *from) { return _mm256_loadu_si256(static_cast<const __m256i *>(from)); }
static inline void store_halves(void *to, __m256i x) { _mm256_storeu_si256(static_cast<__m256i *>(to), x); }

static inline __m512 load_vector(const float *from) { return _mm512_loadu_ps(from); }
static inline __m512 load_vector(const Half *from) { return _mm512_maskz_cvtph_ps(ALL, load_halves(from)); }
static inline __m512 load_vector(const BFloat *from) {
  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(ALL, _mm512_maskz_cvtepu16_epi32(ALL, load_halves(from)), 16));
}

// to_bfloat() of 16 elements.
static inline __m256i round_to_bfloat(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x), odd = _mm512_set1_epi32(0x10000), quiet = _mm512_set1_epi32(0x400000);
  __m512i y = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  y = _mm512_mask_add_epi32(y, _mm512_test_epi32_mask(bits, odd), y, _mm512_set1_epi32(1));
  y = _mm512_mask_or_epi32(y, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), bits, quiet);
  return _mm512_maskz_cvtepi32_epi16(ALL, _mm512_maskz_srli_epi32(ALL, y, 16));
}

static inline void store_vector(float *to, __m512 x) { _mm512_storeu_ps(to, x); }
static inline void store_vector(Half *to, __m512 x) { store_halves(to, _mm512_maskz_cvtps_ph(ALL, x, _MM_FROUND_TO_NEAREST_INT)); }
static inline void store_vector(BFloat *to, __m512 x) { store_halves(to, round_to_bfloat(x)); }
#elif defined(__F16C__) && defined(__AVX2__)
static inline __m128i load_halves(const void *from) { return _mm_loadu_si128(static_cast<const __m128i *>(from)); }
static inline void store_halves(void *to, __m128i x) { _mm_storeu_si128(static_cast<__m128i *>(to), x); }

static inline __m256 load_vector(const float *from) { return _mm256_loadu_ps(from); }
static inline __m256 load_vector(const Half *from) { return _mm256_cvtph_ps(load_halves(from)); }
static inline __m256 load_vector(const BFloat *from) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_halves(from)), 16));
}

// to_bfloat() of 8 elements.
static inline __m128i round_to_bfloat(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x), last = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), last);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i y = _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
  const __m256i upper = _mm256_srli_epi32(y, 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
}

static inline void store_vector(float *to, __m256 x) { _mm256_storeu_ps(to, x); }
static inline void store_vector(Half *to, __m256 x) { store_halves(to, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)); }
static inline void store_vector(BFloat *to, __m256 x) { store_halves(to, round_to_bfloat(x)); }
#endif

#if defined(__F16C__) && defined(__AVX2__)
#define CASTOR_CONVERTS_VECTORS  // there are load_vector and store_vector

// Converts as many elements as make up whole vectors, and returns how many these are.
template <class T, class S> int64_t convert_vectors(T *to, const S *from, int64_t n) {
  int64_t i = 0;
  for (; i + LANES<float> <= n; i += LANES<float>) store_vector(to + i, load_vector(from + i));
  return i;
}

static inline void convert_tile(float *to, const BFloat *from, int64_t n) {
  for (int64_t i = convert_vectors(to, from, n); i < n; i++) to[i] = to_float(from[i]);
}
static inline void convert_tile(BFloat *to, const float *from, int64_t n) {
  for (int64_t i = convert_vectors(to, from, n); i < n; i++) to[i] = to_bfloat(from[i]);
}
static inline void convert_tile(float *to, const Half *from, int64_t n) {
  for (int64_t i = convert_vectors(to, from, n); i < n; i++) to[i] = _cvtsh_ss(uint16_t(from[i]));
}
static inline void convert_tile(Half *to, const float *from, int64_t n) {
  for (int64_t i = convert_vectors(to, from, n); i < n; i++) to[i] = Half(_cvtss_sh(from[i], _MM_FROUND_TO_NEAREST_INT));
}
#endif

template <class T> void fill_tile(T *to, T value, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = value;
}

// load(), store(), loader() and storer() are defined in tile.cpp for T = float, double and int64_t, so that the conversions from and to
// every dtype are compiled once and not in every file that reads or writes tensors.

// Loads n elements of dtype from `from`, which are `stride` elements apart (0 and negative strides are allowed), into contiguous compute
// type.
template <class T> void load(T *to, const void *from, DType dtype, int64_t stride, int64_t n);

// The reverse. Conversion to a float dtype rounds to nearest even, keeps NaN and overflows to infinity; to an integer it truncates; to bool
// it tests x != 0.
template <class T> void store(void *to, DType dtype, int64_t stride, const T *from, int64_t n);

// load() and store() for one dtype, looked up once instead of for every line.
template <class T> using Loader = void (*)(T *to, const char *from, int64_t stride, int64_t n);
template <class T> Loader<T> loader(DType dtype);
template <> Loader<BFloat> loader(DType dtype);  // from float32 and bfloat16
template <class T> using Storer = void (*)(char *to, int64_t stride, const T *from, int64_t n);
template <class T> Storer<T> storer(DType dtype);
template <> Storer<BFloat> storer(DType dtype);  // to bfloat16

// Contiguous elements of type T: `from` itself if it holds them, else scratch (TILE elements), into which they are loaded.
template <class T> const T *load_or_borrow(T *scratch, const void *from, DType dtype, int64_t stride, int64_t n) {
  if (dtype == dtype_of<T> && stride == 1) return static_cast<const T *>(from);
  load(scratch, from, dtype, stride, n);
  return scratch;
}

}  // namespace castor::CASTOR_ISA
