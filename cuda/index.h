// Index tensors: int32 or int64, negative from the end, checked where they are read.
#pragma once
#include "fault.h"
#include "launch.h"

namespace castor::cuda {

struct Index {
  const char *data;
  bool wide;     // int64
  int64_t size;  // of the axis it points into
  Site site;
  Fault *fault;

  Index(Context &context, const View &index, int64_t size, Site site)
      : data(index.as<char>()), wide(index.dtype == DType::i64), size(size), site(site), fault(context.fault) {}

  // As it is in memory, for kernels that have several loads under way.
  __device__ __forceinline__ int64_t raw(int64_t i) const {
    return wide ? reinterpret_cast<const int64_t *>(data)[i] : reinterpret_cast<const int32_t *>(data)[i];
  }
  __device__ __forceinline__ int64_t checked(int64_t raw) const { return checked_index(raw, size, site, fault); }
  __device__ __forceinline__ int64_t at(int64_t i) const { return checked(raw(i)); }
};

// Element strides of an index along axis d of the tensor that it picks from: of all its axes, or of the one it has.
inline int64_t index_stride(const View &index, bool along_one, int axis, int d) {
  if (!along_one) return index.stride[d];
  return d == axis ? index.stride[0] : 0;
}

}  // namespace castor::cuda
