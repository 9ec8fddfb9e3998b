// Reading and writing of tensors in compute type: the conversions from and to every dtype, compiled once for each instruction set.
#include "tile.h"
#include "blocks.h"

namespace castor::CASTOR_ISA {

template <class T> void load(T *to, const void *from, DType dtype, int64_t stride, int64_t n) {
  with_dtype(dtype, [=](auto element) {
    using S = decltype(element);
    auto *source = static_cast<const S *>(from);
    if (stride == 1) return convert_tile(to, source, n);
    if (stride == 0) return fill_tile(to, convert<T>(*source), n);
    for (int64_t i = 0; i < n; i++) to[i] = convert<T>(source[i * stride]);
  });
}

template <class T> void store(void *to, DType dtype, int64_t stride, const T *from, int64_t n) {
  with_dtype(dtype, [=](auto element) {
    using S = decltype(element);
    auto *target = static_cast<S *>(to);
    if (stride == 1) return convert_tile(target, from, n);
    for (int64_t i = 0; i < n; i++) target[i * stride] = convert<S>(from[i]);
  });
}

template <class T, class S> void load_from(T *to, const char *from, int64_t stride, int64_t n) {
  auto *source = reinterpret_cast<const S *>(from);
  if (stride == 1 && std::is_same_v<S, T>) return (void)memcpy(to, from, n * sizeof(T));
  if (stride == 1) return convert_tile(to, source, n);
  for (int64_t i = 0; i < n; i++) to[i] = convert<T>(source[i * stride]);
}

template <class T> Loader<T> loader(DType dtype) {
  Loader<T> found = nullptr;
  with_dtype(dtype, [&](auto element) { found = load_from<T, decltype(element)>; });
  return found;
}
template <> Loader<BFloat> loader(DType dtype) {
  return dtype == DType::bf16 ? load_from<BFloat, BFloat> : load_from<BFloat, float>;
}

template <class T> void load_block(T *to, const View &v, const BlockRows &block, int64_t stride) {
  with_dtype(v.dtype, [&](auto element) { gather(to, v.as<decltype(element)>(), block, stride); });
}

template <class T> void store_block(const View &v, const BlockRows &block, int64_t stride, const T *from) {
  with_dtype(v.dtype, [&](auto element) {
    using S = decltype(element);
    for (int64_t r = 0; r < block.rows; r++, from += block.columns) {
      S *to = v.as<S>() + block.offset(r);
      if (stride == 1) convert_tile(to, from, block.columns);
      else for (int64_t c = 0; c < block.columns; c++) to[c * stride] = convert<S>(from[c]);
    }
  });
}

#define CASTOR_INSTANTIATE(T)                                                                  \
  template void load(T *, const void *, DType, int64_t, int64_t);                              \
  template void store(void *, DType, int64_t, const T *, int64_t);                             \
  template Loader<T> loader(DType);                                                            \
  template void load_block(T *, const View &, const BlockRows &, int64_t);                     \
  template void store_block(const View &, const BlockRows &, int64_t, const T *);
CASTOR_INSTANTIATE(float)
CASTOR_INSTANTIATE(double)
CASTOR_INSTANTIATE(int64_t)
#undef CASTOR_INSTANTIATE

}  // namespace castor::CASTOR_ISA
