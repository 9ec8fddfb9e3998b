// Copies between layouts and dtypes. Large contiguous copies of one dtype bypass the cache (stream.h); strided ones go through blocks that
// read whole cache lines (blocks.h); one element that is expanded to a whole tensor fills it (fill.h).
#include "../kernels/table.h"
#include "fill.h"
#include "operands.h"

namespace castor::CASTOR_ISA {

static void copy_bytes(char *to, const char *from, int64_t bytes) {
  constexpr int64_t chunk = CHUNK * 8;
  parallel_for(bytes, chunk, [=](int64_t begin, int64_t end) {
    if (bytes < STREAM_FROM) return (void)memcpy(to + begin, from + begin, end - begin);
    stream_copy(to + begin, from + begin, end - begin);
    stream_fence();
  });
}

// Element is any type of the right size, since the bits are copied unchanged.
template <class Element> void copy_elements(const View &a, const View &out, const Loop<2> &loop) {
  int64_t to_stride = loop.inner_stride(0), from_stride = loop.inner_stride(1);
  if (loop.outer() == 1 && loop.inner() > 0 && from_stride == 0) return fill_elements(out, *a.as<Element>());
  for_each_block(loop, [&](auto &&each) {
    Element tile[TILE];
    each([&](const Block<2> &block) {
      bool direct = from_stride == 1 && block.rows == 1;
      if (!direct) gather(tile, a.as<Element>(), block.of(1), from_stride);
      const Element *from = direct ? a.as<Element>() + block.offset(1, 0) : tile;
      for (int64_t r = 0; r < block.rows; r++, from += block.columns) {
        Element *to = out.as<Element>() + block.offset(0, r);
        if (to_stride == 1) std::copy(from, from + block.columns, to);
        else for (int64_t c = 0; c < block.columns; c++) to[c * to_stride] = from[c];
      }
    });
  });
}

static void copy_same(const View &a, const View &out) {
  Loop<2> loop = memory_loop<2>(out, {&out, &a});
  if (loop.outer() == 1 && (loop.inner() == 1 || (loop.inner_stride(0) == 1 && loop.inner_stride(1) == 1)))
    return copy_bytes(out.as<char>(), a.as<const char>(), loop.inner() * size_of(a.dtype));
  switch (size_of(a.dtype)) {
    case 1: return copy_elements<uint8_t>(a, out, loop);
    case 2: return copy_elements<uint16_t>(a, out, loop);
    case 4: return copy_elements<uint32_t>(a, out, loop);
    default: return copy_elements<uint64_t>(a, out, loop);
  }
}

// Converts contiguous elements of which one side has the compute type T: they need no tile. Outputs that bypass the cache do.
template <class T> bool convert_in_place(const View &a, const View &out) {
  const bool from_compute = a.dtype == dtype_of<T>;
  const Loop<2> loop = memory_loop<2>(out, {&out, &a});
  const int64_t to_size = size_of(out.dtype), from_size = size_of(a.dtype), n = loop.inner();
  if (!from_compute && out.dtype != dtype_of<T>) return false;
  if (loop.outer() != 1 || loop.inner_stride(0) != 1 || loop.inner_stride(1) != 1 || n * to_size >= STREAM_FROM) return false;
  const Loader<T> load_run = loader<T>(a.dtype);
  const Storer<T> store_run = storer<T>(out.dtype);
  parallel_for(n, CHUNK, [&](int64_t begin, int64_t end) {
    char *to = out.as<char>() + begin * to_size;
    const char *from = a.as<const char>() + begin * from_size;
    if (from_compute) store_run(to, 1, reinterpret_cast<const T *>(from), end - begin);
    else load_run(reinterpret_cast<T *>(to), from, 1, end - begin);
  });
  return true;
}

template <class T> void identity(T *to, const T *const *x, int64_t n, T, T) { memcpy(to, x[0], n * sizeof(T)); }

void copy(const View &a, const View &out) {
  if (a.dtype == out.dtype) return copy_same(a, out);
  with_compute_type(compute_type(a.dtype, out.dtype), [&](auto t) {
    using T = decltype(t);
    if (!convert_in_place<T>(a, out)) run<T, 1>({identity<T>, T(0), T(0)}, out, {&a});
  });
}

}  // namespace castor::CASTOR_ISA
