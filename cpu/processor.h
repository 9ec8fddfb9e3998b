// The instruction sets that an x64 processor has. The processor itself is asked, by cpuid: __builtin_cpu_supports() answers from tables
// that the compiler's runtime library fills in, and that of Zig leaves them empty.
#pragma once
#include <cpuid.h>

namespace castor {

// The answer of cpuid. Where the processor does not have the leaf, every bit is 0.
struct CpuId { unsigned eax = 0, ebx = 0, ecx = 0, edx = 0; };

static inline CpuId cpuid(unsigned leaf, unsigned subleaf = 0) {
  CpuId id;
  return __get_cpuid_count(leaf, subleaf, &id.eax, &id.ebx, &id.ecx, &id.edx) ? id : CpuId{};
}

static inline bool has_all(unsigned have, unsigned wanted) { return (have & wanted) == wanted; }

}  // namespace castor
