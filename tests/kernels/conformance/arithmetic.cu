// Bit functions, conversions and loads with hints, which are exact, and approximate functions.
#include "../../../kernels/convert.h"
#include "answers.h"

namespace conformance {
namespace {

namespace element = castor::CASTOR_ISA;

struct Bits {
  static constexpr int WORDS = 16;
  __device__ void operator()(uint32_t *out) const {
    const unsigned x = threadIdx.x * 2654435761u >> threadIdx.x % 32, y = ~x * 77;
    const uint64_t wide = uint64_t(x) << 32 | y;
    out[0] = uint32_t(__popc(x));
    out[1] = uint32_t(__clz(int(x)));
    out[2] = uint32_t(__ffs(int(x)));
    out[3] = __brev(x);
    out[4] = uint32_t(__popcll(wide));
    out[5] = uint32_t(__clzll(int64_t(wide)));
    out[6] = uint32_t(__ffsll(int64_t(wide)));
    out[7] = __umulhi(x, y);
    out[8] = uint32_t(__mulhi(int(x), int(y)));
    out[9] = uint32_t(__umul64hi(wide, ~wide) >> 16);
    out[10] = __funnelshift_l(x, y, threadIdx.x);
    out[11] = __funnelshift_r(x, y, threadIdx.x);
    out[12] = __byte_perm(x, y, 0x3715);
    out[13] = uint32_t(__float_as_int(__int_as_float(int(x & 0x7fffff))));
    out[14] = uint32_t(min(int(x), int(y))) ^ max(x, y);
    out[15] = uint32_t(uint64_t(__double_as_longlong(__longlong_as_double(int64_t(wide >> 4)))));
  }
};

// All halves, and floats of all magnitudes.
struct Conversions {
  static constexpr int WORDS = 6;
  static __device__ uint32_t canonical(float x) { return x != x ? 0x7fffffffu : __float_as_uint(x); }
  __device__ void operator()(uint32_t *out) const {
    uint32_t hash[WORDS] = {};
    const auto add = [&](int i, uint32_t word) { hash[i] = (hash[i] ^ word) * 16777619u; };
    for (uint32_t i = threadIdx.x; i < 65536; i += THREADS) {
      add(0, canonical(element::to_float(element::Half(i))));
      add(1, canonical(element::to_float(element::BFloat(i))));
      const float x = __uint_as_float(i * 65537u + i / 3);
      add(2, x != x ? 0 : uint32_t(element::to_half(x)));
      add(3, x != x ? 0 : uint32_t(element::to_bfloat(x)));
      add(4, uint32_t(element::convert<int32_t>(x)));
      add(5, uint32_t(uint64_t(element::convert<int64_t>(x)) >> 20));
    }
    for (int i = 0; i < WORDS; i++) out[i] = hash[i];
  }
};

struct Rounded {
  static constexpr int WORDS = 8;
  __device__ void operator()(uint32_t *out) const {
    const float x = __fadd_rn(__fmul_rn(float(threadIdx.x), 0.37f), -9.1f), y = float(threadIdx.x % 7) + 0.3f;
    out[0] = __float_as_uint(__fmaf_rn(x, y, 0.1f));
    out[1] = __float_as_uint(__fadd_rn(x, y)) ^ __float_as_uint(__fmul_rn(x, y));
    out[2] = __float_as_uint(__fdiv_rn(x, y));
    out[3] = __float_as_uint(__fsqrt_rn(y));
    out[4] = __float_as_uint(__frcp_rn(y));
    out[5] = __float_as_uint(__saturatef(x));
    out[6] = uint32_t(__float2int_rn(x));
    out[7] = uint32_t(__double_as_longlong(__dadd_rn(__dmul_rn(double(x), double(y)), 0.1)));
  }
};

struct Hints {
  static constexpr int WORDS = 4;
  __device__ void operator()(uint32_t *out) const {
    uint4 *mine = reinterpret_cast<uint4 *>(out);
    __stcs(mine, make_uint4(threadIdx.x, 2, 3, 4));
    uint4 v = __ldcs(mine);
    v.y += __ldcg(mine).y + __ldca(mine).x;
    __stcg(mine, v);
    __stwt(mine, v);
  }
};

// A function of x, from near zero to large values, with both signs where they are allowed.
template <float (*F)(float)> struct Function {
  static constexpr int WORDS = 1;
  float low, high;
  __device__ void operator()(uint32_t *out) const { out[0] = __float_as_uint(F(low + (high - low) * float(threadIdx.x) / (THREADS - 1))); }
};
__device__ float fast_exp(float x) { return __expf(x); }
__device__ float fast_log(float x) { return __logf(x); }
__device__ float fast_log2(float x) { return __log2f(x); }
__device__ float fast_sin(float x) { return __sinf(x); }
__device__ float fast_cos(float x) { return __cosf(x); }
__device__ float fast_power(float x) { return __powf(x, 1.7f); }
__device__ float fast_divide(float x) { return __fdividef(3.7f, x); }
__device__ float reciprocal_root(float x) { return rsqrtf(x); }
__device__ float exp2_approx(float x) { return gpu::exp2_approx(x); }
__device__ float log2_approx(float x) { return gpu::log2_approx(x); }
__device__ float reciprocal_approx(float x) { return gpu::reciprocal_approx(x); }
__device__ float rsqrt_approx(float x) { return gpu::rsqrt_approx(x); }
__device__ float tanh_approx(float x) { return gpu::tanh_approx(x); }

// The results of the approximations at the ends of their range.
struct Extremes {
  static constexpr int WORDS = 8;
  __device__ void operator()(uint32_t *out) const {
    const float infinity = __uint_as_float(0x7f800000);
    out[0] = __float_as_uint(gpu::exp2_approx(-infinity));
    out[1] = __float_as_uint(gpu::exp2_approx(-200));
    out[2] = __float_as_uint(gpu::exp2_approx(200));
    out[3] = __float_as_uint(gpu::exp2_approx(0));
    out[4] = __float_as_uint(gpu::reciprocal_approx(infinity));
    out[5] = __float_as_uint(gpu::reciprocal_approx(-0.0f));
    out[6] = __float_as_uint(gpu::log2_approx(0));
    out[7] = __float_as_uint(gpu::tanh_approx(infinity));
  }
};

}  // namespace

void arithmetic() {
  exact("bits", Bits{});
  exact("conversions", Conversions{});
  exact("rounded arithmetic", Rounded{});
  exact("loads and stores with hints", Hints{});
  exact("approximations at the ends", Extremes{});
  near("__expf", 8e-6, Function<fast_exp>{-30, 30});
  near("__logf", 1e-6, Function<fast_log>{0.01f, 90});
  near("__log2f", 1e-6, Function<fast_log2>{0.01f, 90});
  near("__sinf", 1e-6, Function<fast_sin>{-3, 3});
  near("__cosf", 1e-6, Function<fast_cos>{-3, 3});
  near("__powf", 8e-6, Function<fast_power>{0.01f, 50});
  near("__fdividef", 1e-6, Function<fast_divide>{-7, 9});
  near("rsqrtf", 1e-6, Function<reciprocal_root>{0.01f, 50});
  near("exp2_approx", 1e-6, Function<exp2_approx>{-30, 30});
  near("log2_approx", 1e-6, Function<log2_approx>{0.01f, 90});
  near("reciprocal_approx", 1e-6, Function<reciprocal_approx>{-7, 9});
  near("rsqrt_approx", 1e-6, Function<rsqrt_approx>{0.01f, 50});
  near("tanh_approx", 1e-3, Function<tanh_approx>{-5, 5});
}

}  // namespace conformance
