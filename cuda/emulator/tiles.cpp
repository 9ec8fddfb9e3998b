#include "tiles.h"
#include "../../kernels/convert.h"
#include "asan.h"
#include "block.h"
#include "collectives.h"
#include "race.h"
#include "shared.h"

namespace castor::emulator {
namespace {

constexpr uint32_t WARP = ~0u;

// Both instructions need the whole warp.
template <class Argument> bool is_whole(const Gathering &all) {
  all.each([&](int lane) { all.of<Argument>(lane).whole = all.arrived == WARP; });
  return all.arrived == WARP;
}
void expect_whole(bool whole, const char *name, Place place) {
  if (!whole) fail(std::string(name) + " although some lanes of the warp have ended, at " + to_string(place));
}

// ---- ldmatrix ----------------------------------------------------------------------------------------------------------

struct LoadArgument { const uint16_t *row; uint32_t *to; bool whole; };

template <int TILES, bool TRANSPOSED> void combine_load(Gathering &all) {
  if (!is_whole<LoadArgument>(all)) return;
  const auto element = [&](int tile, int row, int column) { return uint32_t(all.of<LoadArgument>(8 * tile + row).row[column]); };
  for (int lane = 0; lane < LANES; lane++) {
    const int g = lane / 4, t = lane % 4;
    for (int tile = 0; tile < TILES; tile++) {
      const uint32_t low = TRANSPOSED ? element(tile, 2 * t, g) : element(tile, g, 2 * t);
      const uint32_t high = TRANSPOSED ? element(tile, 2 * t + 1, g) : element(tile, g, 2 * t + 1);
      all.of<LoadArgument>(lane).to[tile] = low | high << 16;
    }
  }
}

template <int TILES, bool TRANSPOSED> void load(uint32_t (&r)[TILES], const void *row, Place place) {
  constexpr size_t bytes = 16;
  const auto wrong = [&](const char *text, cudaError_t error) {
    fail(std::string("ldmatrix of a row ") + text + ", at " + to_string(place), error);
  };
  if (uintptr_t(row) % bytes) wrong("that is not aligned to 16 bytes", cudaErrorMisalignedAddress);
  if (!shared.contains(row, bytes)) wrong("that is not in shared memory", cudaErrorLaunchFailure);
  if (lane_index() < 8 * TILES) {
    if (asan::is_poisoned(row, bytes)) wrong("outside of an array", cudaErrorIllegalAddress);
    race::reads(row, bytes, place);
  }
  LoadArgument argument{static_cast<const uint16_t *>(row), r, true};
  collective(WARP, "ldmatrix", combine_load<TILES, TRANSPOSED>, &argument, place, false, block.call_path());
  expect_whole(argument.whole, "ldmatrix", place);
}

// ---- mma ---------------------------------------------------------------------------------------------------------------

struct ProductArgument { float *d; const uint32_t *a, *b; bool whole; };

float half_value(uint32_t bits) { return cuda::to_float(cuda::Half(bits & 0xffff)); }
float bfloat_value(uint32_t bits) { return cuda::to_float(cuda::BFloat(bits & 0xffff)); }
float tf32_value(uint32_t bits) { return bits_of<float>(bits & ~0x1fffu); }

// An instruction with K columns of A. A register holds PACKED consecutive ones.
template <int K, int PACKED, float (*VALUE)(uint32_t)> void combine_product(Gathering &all) {
  if (!is_whole<ProductArgument>(all)) return;
  constexpr int M = 16, N = 8, HALF = K / 2;
  float a[M][K], b[K][N], d[M][N];
  for (int lane = 0; lane < LANES; lane++) {
    const auto &mine = all.of<ProductArgument>(lane);
    const int g = lane / 4, t = lane % 4;
    for (int c = 0; c < PACKED; c++) {
      const int k = PACKED * t + c;
      for (int i = 0; i < 4; i++) a[g + i % 2 * 8][k + i / 2 * HALF] = VALUE(mine.a[i] >> 16 * c);
      for (int i = 0; i < 2; i++) b[k + i * HALF][g] = VALUE(mine.b[i] >> 16 * c);
    }
    for (int i = 0; i < 4; i++) d[g + i / 2 * 8][2 * t + i % 2] = mine.d[i];
  }
  for (int m = 0; m < M; m++) {
    for (int k = 0; k < K; k++) {
      for (int n = 0; n < N; n++) d[m][n] += a[m][k] * b[k][n];
    }
  }
  for (int lane = 0; lane < LANES; lane++) {
    for (int i = 0; i < 4; i++) all.of<ProductArgument>(lane).d[i] = d[lane / 4 + i / 2 * 8][2 * (lane % 4) + i % 2];
  }
}

template <int K, int PACKED, float (*VALUE)(uint32_t)> void multiply(float *d, const uint32_t *a, const uint32_t *b, Place place) {
  ProductArgument argument{d, a, b, true};
  collective(WARP, "mma", combine_product<K, PACKED, VALUE>, &argument, place, false, block.call_path());
  expect_whole(argument.whole, "mma", place);
}

}  // namespace
}  // namespace castor::emulator

namespace gpu {
using namespace castor::emulator;

void ldmatrix_x4(uint32_t (&r)[4], const void *row, Place place) { load<4, false>(r, row, place); }
void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row, Place place) { load<4, true>(r, row, place); }
void ldmatrix_x2(uint32_t (&r)[2], const void *row, Place place) { load<2, false>(r, row, place); }
void ldmatrix_x2_trans(uint32_t (&r)[2], const void *row, Place place) { load<2, true>(r, row, place); }

void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __half, Place place) {
  multiply<16, 2, half_value>(d, a, b, place);
}
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __nv_bfloat16, Place place) {
  multiply<16, 2, bfloat_value>(d, a, b, place);
}
void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Place place) { multiply<8, 1, tf32_value>(d, a, b, place); }

uint32_t to_tf32(float x) {
  const uint32_t bits = bits_of<uint32_t>(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fffffff;  // NaN
  return (bits & 0x7f800000) == 0x7f800000 ? bits : (bits + 0x1000) & ~0x1fffu;
}

}  // namespace gpu
