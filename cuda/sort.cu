// The k largest or smallest elements of each row, in order, by merge sort (merge_sort.h) of items of a key and a position.
#include "../kernels/sort_key.h"
#include "../kernels/table.h"
#include "layout.h"
#include "merge_sort.h"
#include "pack.h"
#include "resident.h"

namespace castor::cuda {
namespace {

// The rows of a, whose first items are written to values and indices. Integers of up to 32 bits have short keys.
template <class T, class Item> struct Sorting {
  const char *a;
  char *values;
  int64_t *indices;
  DType dtype, values_dtype;
  int64_t n, step[3];  // elements of a row; strides in a, values, indices
  Layout<3> rows;
  bool descending;

  // x[k] = a[place[k]] where k is valid.
  __device__ __forceinline__ void read(const int64_t (&place)[ITEMS], uint32_t valid, T (&x)[ITEMS]) const {
    with_input<T>(dtype, [&](auto element) {
      using S = decltype(element);
      S raw[ITEMS];
      GPU_UNROLL for (int k = 0; k < ITEMS; k++) raw[k] = valid >> k & 1 ? reinterpret_cast<const S *>(a)[place[k]] : S{};
      GPU_UNROLL for (int k = 0; k < ITEMS; k++) x[k] = convert<T>(raw[k]);
    });
  }

  __device__ __forceinline__ void load(uint32_t row, int64_t first, Item (&x)[ITEMS]) const {
    int64_t offset[3], place[ITEMS];
    rows.offsets(row, offset);
    uint32_t valid = 0;
    GPU_UNROLL for (int k = 0; k < ITEMS; k++) {
      const int64_t i = first + k * blockDim.x;
      place[k] = offset[0] + i * step[0];
      valid |= uint32_t(i < n) << k;
    }
    T value[ITEMS];
    read(place, valid, value);
    GPU_UNROLL for (int k = 0; k < ITEMS; k++)
      x[k] = valid >> k & 1 ? item(value[k], uint32_t(first + k * blockDim.x)) : Item::end();
  }

  __device__ __forceinline__ Item item(T value, uint32_t index) const {
    if constexpr (std::is_same_v<T, int64_t> && std::is_same_v<Item, Short>) {
      const uint32_t key = uint32_t(value) ^ 1u << 31;
      return Item::of(descending ? ~key : key, index);
    } else {
      const auto key = key_of(value);
      return Item::of(descending ? ~key : key, index);
    }
  }

  __device__ __forceinline__ void finish(uint32_t row, int64_t first, int64_t end, const Item (&x)[ITEMS]) const {
    int64_t offset[3], place[ITEMS];
    rows.offsets(row, offset);
    uint32_t valid = 0;
    GPU_UNROLL for (int k = 0; k < ITEMS; k++) {
      const int64_t i = first + k * blockDim.x;
      if (i >= end) continue;
      place[k] = offset[0] + x[k].index() * step[0];
      valid |= 1u << k;
      indices[offset[2] + i * step[2]] = x[k].index();
    }
    T value[ITEMS];
    read(place, valid, value);
    with_device_dtype(values_dtype, [&](auto element) {
      using S = decltype(element);
      GPU_UNROLL for (int k = 0; k < ITEMS; k++)
        if (valid >> k & 1) reinterpret_cast<S *>(values)[offset[1] + (first + k * blockDim.x) * step[1]] = convert<S>(value[k]);
    });
  }
};

template <class T, class Item>
void sort_as(Context &context, const View &a, const View &values, const View &indices, int axis, bool descending) {
  Loop<3> rows;
  for (int d = 0; d < a.rank; d++)
    if (d != axis) append_dimension(rows, a.size[d], {a.stride[d], values.stride[d], indices.stride[d]});
  MergeSort<Item> sort(context, rows.outer() * rows.inner(), a.size[axis], values.size[axis], true);
  sort.run("sort", Sorting<T, Item>{a.as<char>(),
                                    values.as<char>(),
                                    indices.as<int64_t>(),
                                    a.dtype,
                                    values.dtype,
                                    a.size[axis],
                                    {a.stride[axis], values.stride[axis], indices.stride[axis]},
                                    make_layout(rows, rows.rank),
                                    descending});
}

}  // namespace

void sort(const View &given, const View &values, const View &indices, int axis, bool descending) {
  Context &context = context_of(values);
  const Resident resident(context, given);
  const View &a = resident;
  if (a.size[axis] >= UINT32_MAX) fail(CASTOR_SHAPE, "an axis of %lld elements is too long for sorting", (long long)a.size[axis]);
  with_compute_type(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (size_of(a.dtype) == 8)
      return sort_as<T, std::conditional_t<sizeof(T) == 8, Long, Short>>(context, a, values, indices, axis, descending);
    if constexpr (!std::is_same_v<T, double>) sort_as<T, Short>(context, a, values, indices, axis, descending);
  });
}

}  // namespace castor::cuda
