// The k largest or smallest elements of each row, in order. Elements become items of a key, which compares as an unsigned integer, and an
// index. Long rows are sorted by radix, short ones by comparison, and for a small k only the candidates for the best k are.
#include <array>
#include <utility>
#include "../kernels/sort_key.h"
#include "../kernels/table.h"
#include "rows.h"

namespace castor::CASTOR_ISA {
namespace {

// Equal elements keep their order, because items with equal keys are compared by index.
struct Item {
  uint64_t key, index;
  bool operator<(const Item &other) const { return key != other.key ? key < other.key : index < other.index; }
};

constexpr int DIGITS = 8;          // bytes of a key
constexpr int64_t RADIX_FROM = 512;  // items; fewer are sorted faster by comparison

// Radix sort, one byte at a time from the lowest. A byte that all keys share is skipped. Returns the array that holds the sorted items.
Item *radix_sort(Item *items, Item *spare, int64_t n) {
  std::array<std::array<int64_t, 256>, DIGITS> counts{};
  for (int64_t i = 0; i < n; i++)
    for (int d = 0; d < DIGITS; d++) counts[d][items[i].key >> 8 * d & 255]++;
  for (int d = 0; d < DIGITS; d++) {
    auto &place = counts[d];
    if (place[items[0].key >> 8 * d & 255] == n) continue;
    int64_t before = 0;
    for (int64_t &p : place) before += std::exchange(p, before);
    for (int64_t i = 0; i < n; i++) spare[place[items[i].key >> 8 * d & 255]++] = items[i];
    std::swap(items, spare);
  }
  return items;
}

// Puts n items in order. Returns the array that holds them.
Item *all_items(Item *items, Item *spare, int64_t n) {
  if (n >= RADIX_FROM) return radix_sort(items, spare, n);
  std::sort(items, items + n);
  return items;
}

// The number of candidates that best_items() has room for: the best k, as many again, and two blocks.
constexpr int64_t BLOCK = 64;
constexpr int64_t room_for(int64_t k) { return 2 * k + 2 * BLOCK; }

// The first k of n keys in order, for a small k. A key that is below the k-th best so far becomes a candidate. When there are many, all but
// the best k are dropped. Many blocks of keys contain no candidate, which a loop that vectorises finds out. In the others each key is
// written as if it were one, because a branch would often be mispredicted.
template <class Key> void best_items(Item *candidates, const Key *keys, int64_t n, int64_t k) {
  for (int64_t i = 0; i < k; i++) candidates[i] = {keys[i], uint64_t(i)};
  Key limit = Key(std::max_element(candidates, candidates + k)->key);
  int64_t count = k;
  for (int64_t begin = k; begin < n; begin += BLOCK) {
    const int64_t end = std::min(begin + BLOCK, n);
    int any = 0;
    for (int64_t i = begin; i < end; i++) any |= keys[i] < limit;
    if (!any) continue;
    for (int64_t i = begin; i < end; i++) {
      candidates[count] = {keys[i], uint64_t(i)};
      count += keys[i] < limit;
    }
    if (count < room_for(k) - BLOCK) continue;
    std::nth_element(candidates, candidates + k - 1, candidates + count);
    limit = Key(candidates[k - 1].key);
    count = k;
  }
  if (count > k) std::nth_element(candidates, candidates + k - 1, candidates + count);
  std::sort(candidates, candidates + k);
}

template <class Key> Item *with_places(Item *items, const Key *keys, int64_t n) {
  for (int64_t i = 0; i < n; i++) items[i] = {keys[i], uint64_t(i)};
  return items;
}

template <class T> void sort_rows(const View &a, const View &values, const View &indices, int axis, bool descending) {
  const RowLoop<3> rows({&a, &values, &indices}, axis);
  const int64_t n = a.size[axis], k = values.size[axis];
  using Key = decltype(key_of(T()));
  const Key flip = descending ? Key(~Key(0)) : Key(0);
  const bool few = k > 0 && k < n / 8;
  parallel_for(rows.rows(), std::max<int64_t>(1, rows.grain() / 8), [&](int64_t begin, int64_t end) {
    Scratch<T> row(n), best(k);
    Scratch<Item> items(few ? room_for(k) : 2 * n);
    Scratch<Key> keys(n);
    Scratch<int64_t> chosen(k);
    for_runs(rows.loop, begin, end, 1, [&](const int64_t *offset, int64_t) {
      const T *x = open_run<T>(row, a, offset[0], a.stride[axis], n);
      for (int64_t i = 0; i < n; i++) keys[i] = key_of(x[i]) ^ flip;
      const Item *first = items;
      if (few) best_items<Key>(items, keys, n, k);
      else first = all_items(with_places<Key>(items, keys, n), items + n, n);
      for (int64_t i = 0; i < k; i++) {
        chosen[i] = int64_t(first[i].index);
        best[i] = x[chosen[i]];
      }
      store_run<T>(values, offset[1], values.stride[axis], best, k);
      store_run<int64_t>(indices, offset[2], indices.stride[axis], chosen, k);
    });
  });
}

}  // namespace

void sort(const View &a, const View &values, const View &indices, int axis, bool descending) {
  with_compute_type(a.dtype, [&](auto zero) { sort_rows<decltype(zero)>(a, values, indices, axis, descending); });
}

}  // namespace castor::CASTOR_ISA
