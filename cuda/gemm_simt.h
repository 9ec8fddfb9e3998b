// The product on the ordinary cores, in any arithmetic type: 256 threads compute a square tile, each a part of (SIDE / 16) x (SIDE / 16).
// While a tile of the factors in shared memory is multiplied, the next one is on its way into registers.
#pragma once
#include "gemm.h"

namespace castor::cuda::simt {

constexpr int THREADS = 256, DEPTH = 16;  // DEPTH: of a tile, along k

template <class T> struct alignas(16) Quad { T v[4]; };

// A tile of a factor in shared memory, k by x. Storing a row along x or a column of quads along k meets no bank twice.
template <class T, int SIDE> struct Tile {
  T data[DEPTH * SIDE];
  __device__ __forceinline__ T *at(int k, int x) { return data + k * SIDE + (x ^ (k / 4 * 8)); }
};

// Moves elements of a factor in any layout, one by one. S is their type, void if any dtype will do.
template <class T, int SIDE, class S = void> class Gather {
 public:
  __device__ Gather(const Factor &f, int64_t offset, int32_t x, int32_t size)
      : factor_(f) {
    GPU_UNROLL for (int g = 0; g < GROUPS; g++) {
      inside_[g] = x + x_of(g) < size;
      spot_[g] = f.x.spot(uint32_t(x + x_of(g)));
      spot_[g].offset += offset;
    }
  }

  __device__ void fetch(int32_t k, int32_t k_end) {
    GPU_UNROLL for (int g = 0; g < GROUPS; g++)
      GPU_UNROLL for (int e = 0; e < 4; e++) {
        const int32_t at = k + k_of(g, e);
        const Spot q = factor_.k.spot(uint32_t(at));
        const bool there = inside_[g] && at < k_end && factor_.inside(spot_[g], q);
        value_[g][e] = there ? element(spot_[g].offset + q.offset) : T(0);
      }
  }

  __device__ void land(Tile<T, SIDE> &tile) const {
    GPU_UNROLL for (int g = 0; g < GROUPS; g++)
      GPU_UNROLL for (int e = 0; e < 4; e++) *tile.at(k_of(g, e), x_of(g)) = value_[g][e];
  }

 private:
  static constexpr int GROUPS = SIDE * DEPTH / THREADS / 4;
  const Factor &factor_;
  bool inside_[GROUPS];
  Spot spot_[GROUPS];
  T value_[GROUPS][4];

  // Neighbouring threads take neighbours in memory.
  __device__ __forceinline__ int x_of(int g) const { return factor_.along_k ? int(threadIdx.x) / 4 + g * (THREADS / 4) : int(threadIdx.x) % SIDE; }
  __device__ __forceinline__ int k_of(int g, int e) const {
    return factor_.along_k ? int(threadIdx.x) % 4 * 4 + e : int(threadIdx.x) / SIDE + (g * 4 + e) * (THREADS / SIDE);
  }
  __device__ __forceinline__ T element(int64_t offset) const {
    if constexpr (std::is_void_v<S>) return load<T>(factor_.data, factor_.dtype, offset);
    else return convert<T>(reinterpret_cast<const S *>(factor_.data)[offset]);
  }
};

// SIDE / 16 rows and columns of a thread: groups of 4, 64 apart.
template <class T, int SIDE> struct Sums {
  static constexpr int N = SIDE / 16;
  int row, column;
  T v[N * N];

  __device__ Sums() {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    row = (warp / 2 * 4 + lane / 8) * 4;
    column = (warp % 2 * 8 + lane % 8) * 4;
    GPU_UNROLL for (int e = 0; e < N * N; e++) v[e] = 0;
  }

  __device__ void add_product(Tile<T, SIDE> &a, Tile<T, SIDE> &b) {
    GPU_UNROLL for (int k = 0; k < DEPTH; k++) {
      T x[N], y[N];
      line(a, k, row, x);
      line(b, k, column, y);
      GPU_UNROLL for (int e = 0; e < N * N; e++) v[e] = multiply_add(x[e / N], y[e % N], v[e]);
    }
  }

  // Brings the next four to the front.
  __device__ __forceinline__ void shift() {
    GPU_UNROLL for (int e = 0; e < N * N - 4; e++) v[e] = v[e + 4];
  }

 private:
  static __device__ __forceinline__ void line(Tile<T, SIDE> &tile, int k, int first, T (&to)[N]) {
    GPU_UNROLL for (int g = 0; g < N / 4; g++) {
      const Quad<T> quad = *reinterpret_cast<const Quad<T> *>(tile.at(k, first + g * 64));
      GPU_UNROLL for (int e = 0; e < 4; e++) to[g * 4 + e] = quad.v[e];
    }
  }
  static __device__ __forceinline__ T multiply_add(T x, T y, T sum) {
    if constexpr (std::is_same_v<T, int64_t>) return m::add(m::mul(x, y), sum);
    else return x * y + sum;
  }
};

template <class T, int SIDE, class LoadA, class LoadB>
__global__ void __launch_bounds__(THREADS, SIDE == 128 || sizeof(T) == 8 ? 2 : 3) simt_kernel(const __grid_constant__ Product p, const __grid_constant__ Cut cut) {
  using Shared = Tile<T, SIDE>;
  GPU_SHARED(Shared, a, [2]);
  GPU_SHARED(Shared, b, [2]);
  const Place place = place_of(p, cut, SIDE, SIDE);
  const Offsets offset = offsets_of(p, place.batch);
  LoadA load_a(p.a, offset.a, place.row, p.m);
  LoadB load_b(p.b, offset.b, place.column, p.n);
  Sums<T, SIDE> sums;

  load_a.fetch(place.k_begin, place.k_end);
  load_b.fetch(place.k_begin, place.k_end);
  for (int32_t k = place.k_begin, stage = 0; k < place.k_end; k += DEPTH, stage ^= 1) {
    load_a.land(a[stage]);
    load_b.land(b[stage]);
    __syncthreads();
    if (k + DEPTH < place.k_end) {
      load_a.fetch(k + DEPTH, place.k_end);
      load_b.fetch(k + DEPTH, place.k_end);
    }
    sums.add_product(a[stage], b[stage]);
  }

  // Four at a time, always from the same registers: what follows is long, and would be there for each of them.
  for (int r = 0; r < sums.N; r++)
    for (int g = 0; g < sums.N; g += 4) {
      GPU_UNROLL for (int e = 0; e < 4; e++) {
        const int32_t i = place.row + sums.row + r / 4 * 64 + r % 4, j = place.column + sums.column + g / 4 * 64 + e;
        if (i >= p.m || j >= p.n) continue;
        if (cut.splits > 1) static_cast<T *>(cut.partial)[((int64_t(place.split) * p.batch + place.batch) * p.m + i) * p.n + j] = sums.v[e];
        else store_sum(p.c, offset, i, j, sums.v[e]);
      }
      sums.shift();
    }
}

}  // namespace castor::cuda::simt
