// Chooses the instruction set of the CPU kernels, once, when the first kernel is needed.
#include "isa.h"
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>
#include "products.h"

namespace castor {

namespace generic { extern const Backend backend; }
#if CASTOR_ISAS > 1
namespace avx2 { extern const Backend backend; }
#endif
#if CASTOR_ISAS > 2
namespace avx512 { extern const Backend backend; }
#endif
#if CASTOR_ISAS > 3
namespace avx512bf16 { extern const Products products; }
#endif
#if CASTOR_ISAS > 4
namespace amx { extern const Products products; }
#endif

namespace {

constexpr const char *FMA = "float32 multiply-add";
constexpr const char *CONVERTED = "converted to float32 when they are packed, then float32 multiply-add";

[[maybe_unused]] bool has_avx2() {
#if CASTOR_ISAS > 1
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#else
  return false;
#endif
}

[[maybe_unused]] bool has_avx512() {
#if CASTOR_ISAS > 2
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

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
    add({"generic", generic::backend, FMA, CONVERTED, CONVERTED, false}, true);
#if CASTOR_ISAS > 1
    if (has_avx2()) add({"avx2", avx2::backend, FMA, CONVERTED, CONVERTED, false}, true);
#endif
#if CASTOR_ISAS > 2
    if (has_avx512()) add({"avx512", avx512::backend, FMA, CONVERTED, CONVERTED, false}, true);
#endif
#if CASTOR_ISAS > 3
    const Backend kernels = list_.back().kernels;
    add_products("avx512bf16", kernels, avx512bf16::products, CONVERTED, "vdpbf16ps");
#endif
#if CASTOR_ISAS > 4
    add_products("amx", kernels, amx::products, "bfloat16 tiles, four products of two parts", "bfloat16 tiles");
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
  void add_products(const char *name, const Backend &kernels, const Products &products, const char *float16, const char *bfloat16) {
    if (!products.supported() || !(products.model || has_avx512())) return;
    add({name, with_products(kernels, products), FMA, float16, bfloat16, products.model}, products.faster());
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
