// The product on the ordinary cores, in any arithmetic type: 256 threads compute a square tile, each SIDE / 16 rows by as many columns.
// While a tile of the factors in shared memory is multiplied, the next one is on its way into registers.
#pragma once
#include "gemm_epilogue.h"

namespace castor::cuda::simt {

constexpr int THREADS = 256;
// Of a tile, along k: every thread moves four elements of each factor.
constexpr int depth_of(int side) { return 4 * THREADS / side; }

template <class T> struct alignas(16) Quad { T v[4]; };

// A tile of a factor in shared memory, k by x. Permuted, columns of quads along k can be stored without meeting a bank twice.
template <class T, int SIDE, bool PERMUTED> struct Tile {
  T data[4 * THREADS];
  __device__ __forceinline__ T *at(int k, int x) { return data + k * SIDE + (PERMUTED ? x ^ (k / 4 * (128 / depth_of(SIDE))) : x); }
};

// Moves elements of a factor in any layout, one by one. S is their type, void if any dtype will do.
template <class T, int SIDE, class S = void> class Gather {
 public:
  using Tile = simt::Tile<T, SIDE, true>;
  __device__ Gather(const Factor &f, int64_t offset, int32_t x, int32_t x_end, int32_t k, int32_t k_end)
      : factor_(f), inside_(x + x_of() < x_end), next_(k), k_end_(k_end), spot_(f.x.spot(uint32_t(x + x_of()))) {
    spot_.offset += offset;
  }

  // The next depth_of(SIDE) of k.
  __device__ __forceinline__ void fetch() {
    GPU_UNROLL for (int e = 0; e < 4; e++) {
      const int32_t k = next_ + k_of(e);
      const Spot q = factor_.k.spot(uint32_t(k));
      value_[e] = inside_ && k < k_end_ && factor_.inside(spot_, q) ? element(spot_.offset + q.offset) : T(0);
    }
    next_ += depth_of(SIDE);
  }

  __device__ __forceinline__ void land(Tile &tile) const {
    GPU_UNROLL for (int e = 0; e < 4; e++) *tile.at(k_of(e), x_of()) = value_[e];
  }

 private:
  static constexpr int QUADS = depth_of(SIDE) / 4;
  const Factor &factor_;
  const bool inside_;
  int32_t next_, k_end_;
  Spot spot_;
  T value_[4];

  // Neighbouring threads take neighbours in memory.
  __device__ __forceinline__ int x_of() const { return factor_.along_k ? int(threadIdx.x) / QUADS : int(threadIdx.x) % SIDE; }
  __device__ __forceinline__ int k_of(int e) const {
    return factor_.along_k ? int(threadIdx.x) % QUADS * 4 + e : int(threadIdx.x) / SIDE + e * (THREADS / SIDE);
  }
  __device__ __forceinline__ T element(int64_t offset) const {
    if constexpr (std::is_void_v<S>) return load<T>(factor_.data, factor_.dtype, offset);
    else return convert<T>(reinterpret_cast<const S *>(factor_.data)[offset]);
  }
};

// Moves a factor that lies in 16-byte aligned rows, four elements at once.
template <class T, int SIDE, bool ALONG_K> class Rows {
 public:
  using Tile = simt::Tile<T, SIDE, ALONG_K>;
  __device__ Rows(const Factor &f, int64_t offset, int32_t x, int32_t x_end, int32_t k, int32_t k_end)
      : step_(ALONG_K ? depth_of(SIDE) : depth_of(SIDE) * f.k.stride[2]), x_left_(x_end - x - x_of()), k_left_(k_end - k - k_of()) {
    const int64_t row = (ALONG_K ? f.x : f.k).stride[2];
    from_ = reinterpret_cast<const T *>(f.data) + offset + (x + x_of()) * (ALONG_K ? row : 1) + (k + k_of()) * (ALONG_K ? 1 : row);
    if (ALONG_K && x_left_ <= 0) k_left_ = 0;
  }

  __device__ __forceinline__ void fetch() {
    const int32_t along = ALONG_K ? k_left_ : k_left_ > 0 ? x_left_ : 0;
    if (along >= 4) {
      value_ = *reinterpret_cast<const Quad<T> *>(from_);
    } else {
      GPU_UNROLL for (int e = 0; e < 4; e++) value_.v[e] = e < along ? from_[e] : T(0);
    }
    from_ += step_;
    k_left_ -= depth_of(SIDE);
  }

  __device__ __forceinline__ void land(Tile &tile) const {
    if constexpr (ALONG_K) {
      GPU_UNROLL for (int e = 0; e < 4; e++) *tile.at(k_of() + e, x_of()) = value_.v[e];
    } else {
      *reinterpret_cast<Quad<T> *>(tile.at(k_of(), x_of())) = value_;
    }
  }

 private:
  static constexpr int PER_ROW = (ALONG_K ? depth_of(SIDE) : SIDE) / 4;
  const T *from_;
  int64_t step_;
  int32_t x_left_, k_left_;
  Quad<T> value_;

  static __device__ __forceinline__ int x_of() { return ALONG_K ? int(threadIdx.x) / PER_ROW : int(threadIdx.x) % PER_ROW * 4; }
  static __device__ __forceinline__ int k_of() { return ALONG_K ? int(threadIdx.x) % PER_ROW * 4 : int(threadIdx.x) / PER_ROW; }
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

  template <class TileA, class TileB> __device__ __forceinline__ void add_product(TileA &a, TileB &b) {
    GPU_UNROLL for (int k = 0; k < depth_of(SIDE); k++) {
      T x[N], y[N];
      line(a, k, row, x);
      line(b, k, column, y);
      GPU_UNROLL for (int e = 0; e < N * N; e++) v[e] = multiply_add(x[e / N], y[e % N], v[e]);
    }
  }

  __device__ __forceinline__ void spread(T *sums) const {
    GPU_UNROLL for (int i = 0; i < N; i++)
      GPU_UNROLL for (int j = 0; j < N; j += 4) {
        T *to = sums + place_of_sum<SIDE>(row + i / 4 * 64 + i % 4, column + j / 4 * 64);
        *reinterpret_cast<Quad<T> *>(to) = Quad<T>{v[i * N + j], v[i * N + j + 1], v[i * N + j + 2], v[i * N + j + 3]};
      }
  }

 private:
  template <class Tile> static __device__ __forceinline__ void line(Tile &tile, int k, int first, T (&to)[N]) {
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

template <class T, int SIDE, int RESIDENT, class LoadA, class LoadB>
__global__ void __launch_bounds__(THREADS, RESIDENT) gemm_simt_kernel(const __grid_constant__ Product p, const __grid_constant__ Cut cut) {
  GPU_DYN_SHARED(T, shared);
  auto *a = reinterpret_cast<typename LoadA::Tile *>(shared);
  auto *b = reinterpret_cast<typename LoadB::Tile *>(a + 2);
  const Place place = place_of(p, cut, SIDE, SIDE);
  const Offsets offset = offsets_of(p, place.batch);
  LoadA load_a(p.a, offset.a, place.row, p.m, place.k_begin, place.k_end);
  LoadB load_b(p.b, offset.b, place.column, p.n, place.k_begin, place.k_end);
  Sums<T, SIDE> sums;

  load_a.fetch(), load_b.fetch();
  for (int32_t k = place.k_begin, stage = 0; k < place.k_end; k += depth_of(SIDE), stage ^= 1) {
    load_a.land(a[stage]), load_b.land(b[stage]);
    __syncthreads();
    load_a.fetch(), load_b.fetch();  // beyond the end: nothing
    sums.add_product(a[stage], b[stage]);
  }

  __syncthreads();
  sums.spread(shared);
  __syncthreads();
  finish<T, SIDE, SIDE, THREADS>(p, cut, place_of(p, cut, SIDE, SIDE), 0, 0, shared, threadIdx.x);
}

template <class T, int SIDE, int RESIDENT, class LoadA, class LoadB> TileKernel describe(const char *name, double speed) {
  const int tiles = 2 * int(sizeof(typename LoadA::Tile) + sizeof(typename LoadB::Tile)), sums = SIDE * SIDE * int(sizeof(T));
  const auto kernel = gemm_simt_kernel<T, SIDE, RESIDENT, LoadA, LoadB>;
  return {name, kernel, SIDE, SIDE, depth_of(SIDE), THREADS, RESIDENT, std::max(tiles, sums), speed};
}

}  // namespace castor::cuda::simt
