// Reading and writing of tensors in compute type: the conversions from and to every dtype, compiled once for each instruction set.
#include "tile.h"
#include "blocks.h"

namespace castor::CASTOR_ISA {

template <class T, class S> static void load_from(T *to, const S *from, int64_t stride, int64_t n) {
  if (stride == 1 && std::is_same_v<S, T>) return (void)memcpy(to, from, n * sizeof(T));
  if (stride == 1) return convert_tile(to, from, n);
  if (stride == 0 && n > 0) return fill_tile(to, convert<T>(*from), n);
  for (int64_t i = 0; i < n; i++) to[i] = convert<T>(from[i * stride]);
}

template <class T, class S> static void store_as(S *to, int64_t stride, const T *from, int64_t n) {
  if (stride == 1) return convert_tile(to, from, n);
  for (int64_t i = 0; i < n; i++) to[i * stride] = convert<S>(from[i]);
}

template <class T> void load(T *to, const void *from, DType dtype, int64_t stride, int64_t n) {
  with_dtype(dtype, [=](auto element) {
    load_from(to, static_cast<const decltype(element) *>(from), stride, n);
  });
}

template <class T> void store(void *to, DType dtype, int64_t stride, const T *from, int64_t n) {
  with_dtype(dtype, [=](auto element) {
    store_as(static_cast<decltype(element) *>(to), stride, from, n);
  });
}

template <class T, class S> void load_run_of(T *to, const char *from, int64_t stride, int64_t n) {
  load_from(to, reinterpret_cast<const S *>(from), stride, n);
}

template <class T> Loader<T> loader(DType dtype) {
  Loader<T> found = nullptr;
  with_dtype(dtype, [&](auto element) { found = load_run_of<T, decltype(element)>; });
  return found;
}
template <> Loader<BFloat> loader(DType dtype) {
  return dtype == DType::bf16 ? load_run_of<BFloat, BFloat> : load_run_of<BFloat, float>;
}

template <> Storer<BFloat> storer(DType) {
  return [](char *to, int64_t stride, const BFloat *from, int64_t n) { store_as(reinterpret_cast<BFloat *>(to), stride, from, n); };
}

template <class T> Storer<T> storer(DType dtype) {
  Storer<T> found = nullptr;
  with_dtype(dtype, [&](auto element) {
    using S = decltype(element);
    found = [](char *to, int64_t stride, const T *from, int64_t n) { store_as(reinterpret_cast<S *>(to), stride, from, n); };
  });
  return found;
}

template <class T> void load_block(T *to, const View &v, const BlockRows &block, int64_t stride) {
  with_dtype(v.dtype, [&](auto element) { gather(to, v.as<decltype(element)>(), block, stride); });
}

template <class T> void store_block(const View &v, const BlockRows &block, int64_t stride, const T *from) {
  with_dtype(v.dtype, [&](auto element) {
    using S = decltype(element);
    for (int64_t r = 0; r < block.rows; r++, from += block.columns) store_as(v.as<S>() + block.offset(r), stride, from, block.columns);
  });
}

#define CASTOR_INSTANTIATE(T)                                                                  \
  template void load(T *, const void *, DType, int64_t, int64_t);                              \
  template void store(void *, DType, int64_t, const T *, int64_t);                             \
  template Loader<T> loader(DType);                                                            \
  template Storer<T> storer(DType);                                                            \
  template void load_block(T *, const View &, const BlockRows &, int64_t);                     \
  template void store_block(const View &, const BlockRows &, int64_t, const T *);
CASTOR_INSTANTIATE(float)
CASTOR_INSTANTIATE(double)
CASTOR_INSTANTIATE(int64_t)
#undef CASTOR_INSTANTIATE

}  // namespace castor::CASTOR_ISA
