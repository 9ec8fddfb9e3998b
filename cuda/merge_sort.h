// Sorts the rows of a matrix of items, or finds the first k of each row: tiles are sorted in shared memory, then pairs of runs are merged.
// No two items are equal, because the last part of an item is its original position, which also makes the sort stable.
//
// A merge is divided into equal shares by a search for how many of the first d items of the result come from the first run (Green, McColl,
// Bader: GPU merge path: a GPU merging algorithm; 2012).
#pragma once
#include "block.h"
#include "launch.h"

namespace castor::cuda {

// A key and its original position. All ones is greater than every item.
struct Short {
  uint64_t bits;
  __device__ __forceinline__ static Short of(uint32_t key, uint32_t index) { return {uint64_t(key) << 32 | index}; }
  __device__ __forceinline__ static Short end() { return {~uint64_t(0)}; }
  __device__ __forceinline__ uint32_t key() const { return uint32_t(bits >> 32); }
  __device__ __forceinline__ uint32_t index() const { return uint32_t(bits); }
  __device__ __forceinline__ bool operator<(const Short &other) const { return bits < other.bits; }
};
struct alignas(16) Long {
  uint64_t bits, from;
  __device__ __forceinline__ static Long of(uint64_t key, uint32_t index) { return {key, index}; }
  __device__ __forceinline__ static Long end() { return {~uint64_t(0), ~uint64_t(0)}; }
  __device__ __forceinline__ uint32_t index() const { return uint32_t(from); }
  __device__ __forceinline__ bool operator<(const Long &other) const {
    return bits != other.bits ? bits < other.bits : from < other.from;
  }
};

constexpr int ITEMS = 8;  // of a thread

// A tile in shared memory, with a gap after every 128 bytes, so that threads that read eight items each have no bank conflicts.
template <class Item> struct Tile {
  static constexpr int LINE = 128 / sizeof(Item);
  Item *items;

  __device__ __forceinline__ Item &operator[](int i) const { return items[i + i / LINE]; }
  static int64_t bytes(int count) { return int64_t(count + count / LINE + 1) * sizeof(Item); }
};

// Merges runs in shared memory: the items [first, first + ITEMS) of the result.
template <class Item>
__device__ __forceinline__ void merge_share(const Tile<Item> &tile, int a, int a_end, int b, int b_end, int first,
                                            Item (&out)[ITEMS]) {
  int low = max(0, first - (b_end - b)), high = min(first, a_end - a);
  while (low < high) {
    const int middle = (low + high) / 2;
    if (tile[a + middle] < tile[b + first - 1 - middle]) low = middle + 1;
    else high = middle;
  }
  a += low;
  b += first - low;
  Item left = a < a_end ? tile[a] : Item::end(), right = b < b_end ? tile[b] : Item::end();
  GPU_UNROLL for (int k = 0; k < ITEMS; k++) {
    const bool take = left < right;
    out[k] = take ? left : right;
    if (take) left = ++a < a_end ? tile[a] : Item::end();
    else right = ++b < b_end ? tile[b] : Item::end();
  }
}

template <class Item> __device__ __forceinline__ void put_share(const Tile<Item> &tile, const Item (&x)[ITEMS]) {
  __syncthreads();
  GPU_UNROLL for (int k = 0; k < ITEMS; k++) tile[threadIdx.x * ITEMS + k] = x[k];
  __syncthreads();
}

// The runs of a row, which are stored one after the other. All have `run` items but the last.
struct Runs {
  int64_t count, run, last;

  __device__ __forceinline__ int64_t length(int64_t i) const { return i < count - 1 ? run : i < count ? last : 0; }
  CASTOR_HD int64_t total() const { return (count - 1) * run + last; }
  Runs merged(int64_t most) const {
    return {(count + 1) / 2, std::min(2 * run, most), count % 2 ? last : std::min(run + last, most)};
  }
};

// Writes the items [0, count) of the tile, which are those from `first` on of the row's result, to `out` or, if that is null, to the job.
template <class Item, class Job>
__device__ __forceinline__ void emit(const Tile<Item> &tile, const Job &job, Item *out, uint32_t row, int64_t first, int count) {
  Item x[ITEMS];
  GPU_UNROLL for (int k = 0; k < ITEMS; k++) {
    const int i = threadIdx.x + k * blockDim.x;
    if (i < count) x[k] = tile[i];
    if (out && i < count) out[i] = x[k];
  }
  if (!out) job.finish(row, first + threadIdx.x, first + count, x);
}

// A Job has two functions: load(row, first, x) reads the items first + k * blockDim.x of a row, and finish(row, first, end, x) receives
// those of its result that are before the end.
template <class Item, class Job>
__global__ void __launch_bounds__(512) sort_tiles(const __grid_constant__ Job job, Item *out, Runs runs) {
  GPU_DYN_SHARED(Item, shared);
  const Tile<Item> tile{shared};
  const uint32_t row = blockIdx.x / uint32_t(runs.count), number = blockIdx.x % uint32_t(runs.count);
  const int size = blockDim.x * ITEMS;
  Item x[ITEMS];
  job.load(row, int64_t(number) * size + threadIdx.x, x);
  GPU_UNROLL for (int round = 0; round < ITEMS; round++)
    GPU_UNROLL for (int k = round % 2; k + 1 < ITEMS; k += 2) {
      const Item a = x[k], b = x[k + 1];
      const bool swap = b < a;
      x[k] = swap ? b : a;
      x[k + 1] = swap ? a : b;
    }
  put_share(tile, x);
  for (int run = ITEMS; run < size; run *= 2) {
    const int first = threadIdx.x * ITEMS, a = first / (2 * run) * (2 * run), b = min(a + run, size);
    merge_share(tile, a, b, b, min(b + run, size), first - a, x);
    put_share(tile, x);
  }
  if (out) out += row * runs.total() + number * runs.run;
  emit(tile, job, out, row, int64_t(number) * size, int(runs.length(number)));
}

// The number of the first `d` items of the merge that come from a. The lanes of a warp probe at the same time.
template <class Item>
__device__ __forceinline__ int64_t split_of(const Item *a, int64_t a_length, const Item *b, int64_t b_length, int64_t d) {
  int64_t low = d > b_length ? d - b_length : 0, high = min(d, a_length);
  while (low < high) {
    const int64_t step = (high - low + 31) / 32, i = low + (threadIdx.x % 32 + 1) * step - 1;
    const int before = __popc(__ballot_sync(WARP, i < high && a[i] < b[d - 1 - i]));
    high = min(high, low + (before + 1) * step - 1);
    low += before * step;
  }
  return low;
}

// A block produces as many items of the merge of two neighbouring runs as a tile holds.
template <class Item, class Job>
__global__ void __launch_bounds__(512)
merge_runs(const __grid_constant__ Job job, const Item *in, Item *out, Runs from, Runs to, uint32_t blocks_a_pair) {
  GPU_DYN_SHARED(Item, shared);
  GPU_SHARED(int64_t, split, [2]);
  const Tile<Item> tile{shared};
  const int64_t pair = blockIdx.x / blocks_a_pair % uint32_t(to.count), row = blockIdx.x / blocks_a_pair / uint32_t(to.count);
  const int size = blockDim.x * ITEMS;
  const Item *a = in + row * from.total() + 2 * pair * from.run, *b = a + from.run;
  const int64_t a_length = from.length(2 * pair), b_length = from.length(2 * pair + 1), length = to.length(pair);
  const int64_t first = int64_t(blockIdx.x % blocks_a_pair) * size;
  if (first >= length) return;
  const int count = int(min(int64_t(size), length - first));
  const int warps = blockDim.x / 32;
  for (int end = threadIdx.x / 32; end < 2; end += warps) {
    const int64_t at = split_of(a, a_length, b, b_length, first + end * count);
    if (threadIdx.x % 32 == 0) split[end] = at;
  }
  __syncthreads();
  const int64_t a_first = split[0], b_first = first - a_first;
  const int from_a = int(split[1] - a_first);
  Item x[ITEMS];
  GPU_UNROLL for (int k = 0; k < ITEMS; k++) {
    const int i = threadIdx.x + k * blockDim.x;
    if (i < count) x[k] = i < from_a ? a[a_first + i] : b[b_first + i - from_a];
  }
  GPU_UNROLL for (int k = 0; k < ITEMS; k++)
    if (const int i = threadIdx.x + k * blockDim.x; i < count) tile[i] = x[k];
  __syncthreads();
  merge_share(tile, 0, from_a, from_a, count, min(int(threadIdx.x) * ITEMS, count), x);
  put_share(tile, x);
  if (out) out += row * to.total() + pair * to.run + first;
  emit(tile, job, out, uint32_t(row), first, count);
}

// Finds the first k of the n items of each row, in order.
template <class Item> class MergeSort {
 public:
  MergeSort(Context &context, int64_t rows, int64_t n, int64_t k, bool finish)
      : context_(context), rows_(rows), k_(k), finish_(finish), threads_(threads_for(n)), runs_(tiles(n, threads_ * ITEMS, k)),
        here_(context, runs_.count > 1 || !finish ? bytes() : 0), there_(context, runs_.count > 1 ? bytes() : 0) {}

  // Returns the result, row after row, or null if it was passed to the finish function of the job.
  template <class Job> const Item *run(const char *name, const Job &job) {
    Item *in = here_.template as<Item>(), *out = there_.template as<Item>();
    Runs runs = runs_;
    const int64_t shared = Tile<Item>::bytes(threads_ * ITEMS);
    const bool at_once = finish_ && runs.count == 1;
    launch(context_, name, sort_tiles<Item, Job>, rows_ * runs.count, threads_, shared, job,
           at_once ? nullptr : in, runs);
    while (runs.count > 1) {
      const Runs to = runs.merged(k_);
      const int64_t blocks = blocks_for(to.run, threads_ * ITEMS);
      launch(context_, name, merge_runs<Item, Job>, rows_ * to.count * blocks, threads_, shared, job, in,
             finish_ && to.count == 1 ? nullptr : out, runs, to, uint32_t(blocks));
      std::swap(in, out);
      runs = to;
    }
    return in;
  }

 private:
  Context &context_;
  int64_t rows_, k_;
  bool finish_;
  int threads_;
  Runs runs_;
  Scratch here_, there_;

  static int threads_for(int64_t n) {
    const int most = block_threads(256);
    int threads = 32;
    while (threads * 2 <= most && threads * ITEMS < n) threads *= 2;
    return threads;
  }
  static Runs tiles(int64_t n, int64_t size, int64_t k) {
    const int64_t count = blocks_for(n, size);
    return {count, std::min(size, k), std::min(n - (count - 1) * size, k)};
  }
  int64_t bytes() const { return rows_ * runs_.total() * int64_t(sizeof(Item)); }
};

}  // namespace castor::cuda
