// The k largest or smallest elements of each row, in order. Elements become items of a key, which compares as an unsigned integer, and an
// index. Long rows are sorted by radix, short ones by comparison, and for a small k a heap keeps the best items so far.
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

// Puts the first k of n items in order: by sorting all of them, or with a heap of the best so far.
Item *first_items(Item *items, Item *spare, int64_t n, int64_t k) {
  if (k < n / 8) std::partial_sort(items, items + k, items + n);
  else if (n < RADIX_FROM) std::sort(items, items + n);
  else return radix_sort(items, spare, n);
  return items;
}

template <class T> void sort_rows(const View &a, const View &values, const View &indices, int axis, bool descending) {
  const RowLoop<3> rows({&a, &values, &indices}, axis);
  const int64_t n = a.size[axis], k = values.size[axis];
  const uint64_t flip = descending ? ~uint64_t(0) : 0;
  parallel_for(rows.rows(), std::max<int64_t>(1, rows.grain() / 8), [&](int64_t begin, int64_t end) {
    Scratch<T> row(n), best(k);
    Scratch<Item> items(2 * n);
    Scratch<int64_t> chosen(k);
    for_runs(rows.loop, begin, end, 1, [&](const int64_t *offset, int64_t) {
      const T *x = open_run<T>(row, a, offset[0], a.stride[axis], n);
      for (int64_t i = 0; i < n; i++) items[i] = {key_of(x[i]) ^ flip, uint64_t(i)};
      const Item *first = first_items(items, items + n, n, k);
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
