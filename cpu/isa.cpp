// Chooses the instruction set of the CPU kernels, once, when the first kernel is needed.
#include "isa.h"
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>
#include "products.h"
#if CASTOR_ISAS > 1
#include "processor.h"
#endif

namespace castor {


namespace generic { extern const Backend backend; extern const int panel_columns; }
#if CASTOR_ISAS > 1
namespace avx2 { extern const Backend backend; extern const int panel_columns; }
#endif
#if CASTOR_ISAS > 2
namespace avx512 { extern const Backend backend; extern const int panel_columns; }
#endif
#if CASTOR_ISAS > 3
namespace avx512bf16 { extern const Products products; extern const int panel_columns; }
#endif
#if CASTOR_ISAS > 4
namespace amx { extern const Products products; extern const int panel_columns; }
#endif

namespace {

constexpr const char *FMA = "float32 multiply-add";
constexpr const char *CONVERTED = "converted to float32 when they are packed, then float32 multiply-add";

#if CASTOR_ISAS > 1
// Whether the system saves these parts of the registers when it switches threads. Without that, their instructions are undefined.
bool saves(unsigned parts) {
  if (!has_all(cpuid(1).ecx, bit_OSXSAVE)) return false;
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return has_all(low, parts);
}

constexpr unsigned SSE = 1u << 1, AVX = 1u << 2, AVX512 = 7u << 5;  // the parts: AVX-512 has mask registers and two halves of its vectors

// The instructions that x86-64-v3 adds to x86-64, as far as a compiler may use them.
bool has_avx2() {
  constexpr unsigned VECTORS = bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_AVX | bit_F16C | bit_FMA;
  constexpr unsigned BASIC = VECTORS | bit_POPCNT | bit_CMPXCHG16B | bit_MOVBE;
  return saves(SSE | AVX) && has_all(cpuid(1).ecx, BASIC) && has_all(cpuid(7).ebx, bit_AVX2 | bit_BMI | bit_BMI2) &&
         has_all(cpuid(0x80000001).ecx, bit_LZCNT);
}
#endif

#if CASTOR_ISAS > 2
bool has_avx512() {
  constexpr unsigned EXTENDED = bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
  return has_avx2() && saves(SSE | AVX | AVX512) && has_all(cpuid(7).ebx, EXTENDED);
}
#endif

#if CASTOR_ISAS > 3
Backend with_products(Backend kernels, const Products &products) {
  kernels.matmul = products.matmul;
  kernels.convolution = products.convolution;
  kernels.attention = products.attention;
  kernels.attention_backward = products.attention_backward;
  return kernels;
}
#endif

// The instruction sets that the machine has, narrowest first, and which of them is the fastest.
class Isas {
 public:
  Isas() {
    add({"generic", generic::backend, FMA, CONVERTED, CONVERTED, generic::panel_columns, false}, true);
#if CASTOR_ISAS > 1
    if (has_avx2()) add({"avx2", avx2::backend, FMA, CONVERTED, CONVERTED, avx2::panel_columns, false}, true);
#endif
#if CASTOR_ISAS > 2
    if (has_avx512()) add({"avx512", avx512::backend, FMA, CONVERTED, CONVERTED, avx512::panel_columns, false}, true);
#endif
#if CASTOR_ISAS > 3
    const Backend kernels = list_.back().kernels;
    add_products("avx512bf16", kernels, avx512bf16::products, avx512bf16::panel_columns, CONVERTED, "vdpbf16ps");
#endif
#if CASTOR_ISAS > 4
    add_products("amx", kernels, amx::products, amx::panel_columns, "bfloat16 tiles, four products of two parts", "bfloat16 tiles");
#endif
  }

  const Isa &chosen() const {
    const char *wanted = std::getenv("CASTOR_ISA");
    for (const Isa &isa : list_)
      if (wanted && std::strcmp(wanted, isa.name) == 0) return isa;
    return list_[fastest_];
  }

 private:
  std::vector<Isa> list_;
  size_t fastest_ = 0;

  // `faster`: than all before it. One that is not runs only if CASTOR_ISA names it.
  void add(const Isa &isa, bool faster) {
    list_.push_back(isa);
    if (faster) fastest_ = list_.size() - 1;
  }
#if CASTOR_ISAS > 3
  void add_products(const char *name, const Backend &kernels, const Products &products, int panel, const char *float16,
                    const char *bfloat16) {
    if (!products.supported() || !(products.model || has_avx512())) return;
    add({name, with_products(kernels, products), FMA, float16, bfloat16, panel, products.model}, products.faster());
  }
#endif
};

}  // namespace

const Isa &isa() {
  static const Isas isas;
  static const Isa &chosen = isas.chosen();
  return chosen;
}

}  // namespace castor
