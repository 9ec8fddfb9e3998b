// The table of an instruction set that adds units for matrix products, and whether this machine has them.
#include "products.h"
#include "../kernels/table.h"
#if !defined(CASTOR_MODEL)
#include <sys/syscall.h>
#include <unistd.h>
#include "processor.h"
#endif

namespace castor::CASTOR_ISA {
namespace {

#if defined(CASTOR_MODEL)

constexpr bool MODEL = true;
bool supported() { return true; }
bool faster() { return false; }

#else

constexpr bool MODEL = false;

#if defined(CASTOR_TILES)

// Linux gives a process the tiles' 8 KiB of state when it asks for them, once, for all its threads.
bool supported() {
  constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
  constexpr unsigned BFLOAT16 = 1u << 22, TILES = 1u << 24;
  static const bool permitted = has_all(cpuid(7).edx, BFLOAT16 | TILES) && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
  return permitted;
}
bool faster() { return true; }

#else

bool supported() {
  constexpr unsigned BFLOAT16 = 1u << 5;
  return has_all(cpuid(7, 1).eax, BFLOAT16);
}

// AMD's processors start as many vdpbf16ps as multiply-adds in a cycle, according to their optimisation guide: twice the multiplications.
// Intel's processors with tiles start one in two cycles, and two multiply-adds a cycle (1.35 and 5.5 thousand million a second, measured on
// Emerald Rapids): half the multiplications.
bool faster() {
  const CpuId maker = cpuid(0);
  return maker.ebx == signature_AMD_ebx && maker.ecx == signature_AMD_ecx && maker.edx == signature_AMD_edx;
}

#endif
#endif

}  // namespace

extern const Products products;
const Products products = {matmul, convolution, attention, attention_backward, supported, faster, MODEL};

}  // namespace castor::CASTOR_ISA
