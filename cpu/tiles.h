// The tile instructions of x86-64 (AMX). There are eight tiles, each of 16 rows of 64 bytes, numbered by literals from 0 to 7.
//   CASTOR_TILE_ZERO(t), CASTOR_TILE_LOAD(t, from, stride), CASTOR_TILE_STORE(t, to, stride): strides of rows in bytes
//   CASTOR_TILE_DOT(c, a, b): c (16, 16) += a (16, 16) b (16, 16), where the elements of a and b are pairs of bfloat16 and those of c float
// CASTOR_MODEL replaces them by a model in plain C++, for tests on machines without them.
#pragma once
#include <cstdint>
#if defined(CASTOR_MODEL)
#include <cstring>
#include "../abi/backend.h"
#include "model.h"
#else
#include <immintrin.h>
#endif

namespace castor::CASTOR_ISA {

#if defined(CASTOR_MODEL)

struct TileModel {
  uint32_t cell[8][16][16];
  bool configured = false;
  static TileModel &mine() {
    static thread_local TileModel model;
    return model;
  }
  // The tiles of the calling thread. The processor ends a process that uses them before they are configured.
  static TileModel &ready() {
    if (!mine().configured) fail(CASTOR_INTERNAL, "a thread uses tiles that it has not configured");
    return mine();
  }

  void zero(int t) { std::memset(cell[t], 0, sizeof cell[t]); }
  void load(int t, const void *from, int64_t stride) {
    for (int r = 0; r < 16; r++) std::memcpy(cell[t][r], static_cast<const char *>(from) + r * stride, 64);
  }
  void store(int t, void *to, int64_t stride) const {
    for (int r = 0; r < 16; r++) std::memcpy(static_cast<char *>(to) + r * stride, cell[t][r], 64);
  }
  // The products of lower and of upper halves are summed apart, then together, then added to c.
  void dot(int c, int a, int b) {
    for (int m = 0; m < 16; m++)
      for (int n = 0; n < 16; n++) {
        float sum[2] = {0, 0};
        for (int k = 0; k < 16; k++)
          for (int half = 0; half < 2; half++) sum[half] += half_of(cell[a][m][k], half) * half_of(cell[b][k][n], half);
        cell[c][m][n] = bit_cast<uint32_t>(bit_cast<float>(cell[c][m][n]) + (sum[0] + sum[1]));
      }
  }
};

#define CASTOR_TILE_ZERO(t) TileModel::ready().zero(t)
#define CASTOR_TILE_LOAD(t, from, stride) TileModel::ready().load(t, from, stride)
#define CASTOR_TILE_STORE(t, to, stride) TileModel::ready().store(t, to, stride)
#define CASTOR_TILE_DOT(c, a, b) TileModel::ready().dot(c, a, b)

#else

#define CASTOR_TILE_ZERO(t) _tile_zero(t)
#define CASTOR_TILE_LOAD(t, from, stride) _tile_loadd(t, from, stride)
#define CASTOR_TILE_STORE(t, to, stride) _tile_stored(t, to, stride)
#define CASTOR_TILE_DOT(c, a, b) _tile_dpbf16ps(c, a, b)

#endif

// While it lives, the calling thread may use the tiles. The processor saves their 8 KiB at each switch of threads until they are released.
class TileUse {
 public:
#if defined(CASTOR_MODEL)
  TileUse() { TileModel::mine().configured = true; }
  ~TileUse() { TileModel::mine().configured = false; }
#else
  TileUse() {
    // The palette with eight tiles, then the bytes of a row and the number of rows of each tile.
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } static const config;
    _tile_loadconfig(&config);
  }
  ~TileUse() { _tile_release(); }
#endif
  TileUse(const TileUse &) = delete;
  TileUse &operator=(const TileUse &) = delete;
};

}  // namespace castor::CASTOR_ISA
