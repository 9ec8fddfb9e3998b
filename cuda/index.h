// Index tensors of int32 or int64. A negative index counts from the end. Indices are checked where they are read.
#pragma once
#include "fault.h"
#include "launch.h"

namespace castor::cuda {

struct Index {
  const char *data;
  bool wide;     // whether it is int64
  int64_t size;  // size of the axis that it indexes
  Site site;
  Fault *fault;

  Index(Context &context, const View &index, int64_t size, Site site)
      : data(index.as<char>()), wide(index.dtype == DType::i64), size(size), site(site), fault(context.fault) {}

  // The index as it is in memory, for kernels that start several loads before they check.
  __device__ __forceinline__ int64_t raw(int64_t i) const {
    return wide ? reinterpret_cast<const int64_t *>(data)[i] : reinterpret_cast<const int32_t *>(data)[i];
  }
  __device__ __forceinline__ int64_t checked(int64_t raw) const { return checked_index(raw, size, site, fault); }
  __device__ __forceinline__ int64_t at(int64_t i) const { return checked(raw(i)); }
};

// The stride of dimension d of an index, in elements, for an index with all axes of the tensor or with only the one that it selects along.
inline int64_t index_stride(const View &index, bool along_one, int axis, int d) {
  if (!along_one) return index.stride[d];
  return d == axis ? index.stride[0] : 0;
}

}  // namespace castor::cuda
