// The report of a kernel that its data is wrong, which does not stop it. The first report is kept, and the next call that waits for
// the device throws it. The kernel continues with a harmless value. The error stands for all work that the stream had until it was thrown.
#pragma once
#include <cstdint>
#include "../kernels/ops.h"
#include "gpu.h"

namespace castor::cuda {

// The ops whose kernels check indices, and those that are not defined for every value.
#define CASTOR_SITES(X) \
  X(none) CASTOR_GATHER(X) CASTOR_SCATTER(X) X(crossEntropy) X(maxPoolBackward) X(floorDivide) X(remainder) X(fmod) X(pow) X(multinomial)
#define CASTOR_ENUMERATOR(name) name,
enum class Site : int32_t { CASTOR_SITES(CASTOR_ENUMERATOR) };
#undef CASTOR_ENUMERATOR
constexpr Site site_of(Gather op) { return Site(int(Site::gather) + int(op)); }
constexpr Site site_of(Scatter op) { return Site(int(Site::scatter) + int(op)); }
const char *name_of(Site site);

struct FaultReport {
  int32_t site;         // of the first report, or none
  int64_t value, size;  // an index and the size of the axis that it is outside of, or a Defect and NO_AXIS
};
// The threads that find a fault compete in device memory, and only the first one writes to the host: if every index of a large tensor is
// wrong, millions of atomic operations on memory of the host would take seconds.
struct Fault {
  int32_t taken;
  FaultReport *report;
};
constexpr int64_t NO_AXIS = -1;

__device__ __forceinline__ void report(int64_t value, int64_t size, Site site, Fault *fault) {
  if (atomicCAS(&fault->taken, 0, 1) != 0) return;
  FaultReport *const first = fault->report;
  first->value = value;
  first->size = size;
  first->site = int32_t(site);
}

__device__ __forceinline__ void report(Defect defect, Site site, Fault *fault) { report(int64_t(defect), NO_AXIS, site, fault); }

// An index, counted from the end if negative. If it is outside its axis, it is reported and 0 is returned.
__device__ __forceinline__ int64_t checked_index(int64_t i, int64_t size, Site site, Fault *fault) {
  const int64_t wrapped = i < 0 ? i + size : i;
  if (wrapped >= 0 && wrapped < size) return wrapped;
  report(i, size, site, fault);
  return 0;
}

}  // namespace castor::cuda
