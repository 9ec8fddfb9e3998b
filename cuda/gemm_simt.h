// Products without tensor cores, in any arithmetic type. A block of 256 threads computes a square tile of SIDE x SIDE, and a thread SIDE /
// 16 rows by as many columns of it. While one tile of the operands in shared memory is multiplied, the next one is loaded into registers.
#pragma once
#include "gemm_epilogue.h"

namespace castor::cuda::simt {

constexpr int THREADS = 256;
// The depth of a tile along k, such that every thread loads four elements of each operand.
constexpr int depth_of(int side) { return 4 * THREADS / side; }

template <class T> struct alignas(16) Quad { T v[4]; };

// A tile of an operand in shared memory, k by x. PERMUTED, columns of four elements along k can be stored without bank conflicts.
template <class T, int SIDE, bool PERMUTED> struct Tile {
  T data[4 * THREADS];
  __device__ __forceinline__ T *at(int k, int x) { return data + k * SIDE + (PERMUTED ? x ^ (k / 4 * (128 / depth_of(SIDE))) : x); }
};

// Loads the elements of an operand of any layout one by one. S is their type, or void for any dtype.
template <class T, int SIDE, class S = void> class Gather {
 public:
  using Tile = simt::Tile<T, SIDE, true>;
  __device__ Gather(const GemmOperand &f, int64_t offset, int32_t x, int32_t x_end, int32_t k, int32_t k_end)
      : operand_(f), inside_(x + x_of() < x_end), next_(k), k_end_(k_end), position_(f.x.position(uint32_t(x + x_of()))) {
    position_.offset += offset;
  }

  // Starts the load of the next depth_of(SIDE) of k.
  __device__ __forceinline__ void start_load() {
    GPU_UNROLL for (int e = 0; e < 4; e++) {
      const int32_t k = next_ + k_of(e);
      const Position q = operand_.k.position(uint32_t(k));
      value_[e] = inside_ && k < k_end_ && operand_.inside(position_, q) ? element(position_.offset + q.offset) : T(0);
    }
    next_ += depth_of(SIDE);
  }

  __device__ __forceinline__ void finish_load(Tile &tile) const {
    GPU_UNROLL for (int e = 0; e < 4; e++) *tile.at(k_of(e), x_of()) = value_[e];
  }

 private:
  static constexpr int QUADS = depth_of(SIDE) / 4;
  const GemmOperand &operand_;
  const bool inside_;
  int32_t next_, k_end_;
  Position position_;
  T value_[4];

  // Neighbouring threads read neighbouring elements in memory.
  __device__ __forceinline__ int x_of() const { return operand_.along_k ? int(threadIdx.x) / QUADS : int(threadIdx.x) % SIDE; }
  __device__ __forceinline__ int k_of(int e) const {
    return operand_.along_k ? int(threadIdx.x) % QUADS * 4 + e : int(threadIdx.x) / SIDE + e * (THREADS / SIDE);
  }
  __device__ __forceinline__ T element(int64_t offset) const {
    if constexpr (std::is_void_v<S>) return load<T>(operand_.data, operand_.dtype, offset);
    else return convert<T>(reinterpret_cast<const S *>(operand_.data)[offset]);
  }
};

// Loads an operand in rows that are aligned to 16 bytes, four elements at a time.
template <class T, int SIDE, bool ALONG_K> class Rows {
 public:
  using Tile = simt::Tile<T, SIDE, ALONG_K>;
  __device__ Rows(const GemmOperand &f, int64_t offset, int32_t x, int32_t x_end, int32_t k, int32_t k_end)
      : step_(ALONG_K ? depth_of(SIDE) : depth_of(SIDE) * f.k.stride[2]), x_left_(x_end - x - x_of()), k_left_(k_end - k - k_of()) {
    const int64_t row = (ALONG_K ? f.x : f.k).stride[2];
    from_ = reinterpret_cast<const T *>(f.data) + offset + (x + x_of()) * (ALONG_K ? row : 1) + (k + k_of()) * (ALONG_K ? 1 : row);
    if (ALONG_K && x_left_ <= 0) k_left_ = 0;
  }

  __device__ __forceinline__ void start_load() {
    const int32_t along = ALONG_K ? k_left_ : k_left_ > 0 ? x_left_ : 0;
    if (along >= 4) {
      value_ = *reinterpret_cast<const Quad<T> *>(from_);
    } else {
      GPU_UNROLL for (int e = 0; e < 4; e++) value_.v[e] = e < along ? from_[e] : T(0);
    }
    from_ += step_;
    k_left_ -= depth_of(SIDE);
  }

  __device__ __forceinline__ void finish_load(Tile &tile) const {
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

// The sums of a thread: SIDE / 16 rows and columns, in groups of 4 that are 64 apart.
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
        T *to = sums + sum_offset<SIDE>(row + i / 4 * 64 + i % 4, column + j / 4 * 64);
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

template <class T, int SIDE, int RESIDENT, class LoadA, class LoadB> __global__ void __launch_bounds__(THREADS, RESIDENT)
    gemm_simt_kernel(const __grid_constant__ GemmProblem p, const __grid_constant__ TileSchedule schedule) {
  GPU_DYN_SHARED(T, shared);
  auto *a = reinterpret_cast<typename LoadA::Tile *>(shared);
  auto *b = reinterpret_cast<typename LoadB::Tile *>(a + 2);
  const TileCoord coord = tile_coord(p, schedule, SIDE, SIDE);
  const Offsets offset = offsets_of(p, coord.batch);
  LoadA load_a(p.a, offset.a, coord.row, p.m, coord.k_begin, coord.k_end);
  LoadB load_b(p.b, offset.b, coord.column, p.n, coord.k_begin, coord.k_end);
  Sums<T, SIDE> sums;

  load_a.start_load(), load_b.start_load();
  for (int32_t k = coord.k_begin, stage = 0; k < coord.k_end; k += depth_of(SIDE), stage ^= 1) {
    load_a.finish_load(a[stage]), load_b.finish_load(b[stage]);
    __syncthreads();
    load_a.start_load(), load_b.start_load();  // beyond the end it loads nothing
    sums.add_product(a[stage], b[stage]);
  }

  __syncthreads();
  sums.spread(shared);
  __syncthreads();
  store_tile<T, SIDE, SIDE, THREADS>(p, schedule, tile_coord(p, schedule, SIDE, SIDE), 0, 0, shared, threadIdx.x);
}

template <class T, int SIDE, int RESIDENT, class LoadA, class LoadB> TileKernel describe(const char *name, double speed) {
  const int tiles = 2 * int(sizeof(typename LoadA::Tile) + sizeof(typename LoadB::Tile)), sums = SIDE * SIDE * int(sizeof(T));
  const auto kernel = gemm_simt_kernel<T, SIDE, RESIDENT, LoadA, LoadB>;
  return {name, kernel, SIDE, SIDE, depth_of(SIDE), THREADS, RESIDENT, std::max(tiles, sums), speed};
}

}  // namespace castor::cuda::simt
