// The rate of multiply-adds that a processor reaches in its registers: `peak f32|bf16 THREADS` prints GFLOP/s of all threads together. The
// instruction set is that for which this file is compiled: f32 uses FMA at the full vector width, bf16 vdpbf16ps, or tdpbf16ps where there
// are tiles. A product cannot be faster than the faster of them.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int WIDTH = 16;
#define REGISTER "+v"
#elif defined(__AVX__)
constexpr int WIDTH = 8;
#define REGISTER "+x"
#else
constexpr int WIDTH = 4;
#define REGISTER "+x"
#endif
typedef float Vector __attribute__((vector_size(WIDTH * 4)));
constexpr int REPEATS = 20000;

// Independent chains of sums in registers, as many as two units with a latency of six cycles need. The empty assembly makes the compiler
// take a sum for changed, so that it neither joins nor leaves out instructions.
constexpr int CHAINS = 12;
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define START(i) auto sum##i = zero;
#define KEEP(i) asm volatile("" : REGISTER(sum##i));

// Returns the operations.
double fma_chains() {
  Vector zero{}, factor, term;
  for (int i = 0; i < WIDTH; i++) factor[i] = 0.999f, term[i] = 0.001f;
  EACH(START)
#define STEP(i) sum##i = sum##i * factor + term; KEEP(i)
  for (int r = 0; r < REPEATS; r++) { EACH(STEP) }
#undef STEP
  return 2.0 * REPEATS * CHAINS * WIDTH;
}

#if defined(__AMX_BF16__)
// Eight tiles, each of 16 rows of 64 bytes. It is a constant, because GCC 12 assumes that the instruction which loads it reads only its first
// 8 bytes, and leaves out what is written to the others before.
struct alignas(64) Config {
  unsigned char palette = 1, start = 0, reserved[14] = {};
  unsigned short bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  unsigned char rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
const Config config;

// The kernel grants tile data to a process that asks for it (ARCH_REQ_XCOMP_PERM for XFEATURE_XTILEDATA).
bool prepare_bf16() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

// Values of many sizes and both signs, such as those of a product: with zeros the processor needs less power, and multiplies up to 1.4 times
// as fast.
struct alignas(64) Values {
  unsigned short bits[16 * 32];
  explicit Values(unsigned seed) {
    for (auto &each : bits) each = (unsigned short)(0x3d00 | ((seed = seed * 1664525u + 1013904223u) >> 16 & 0x80ff));
  }
};

double bf16_chains() {
  static const Values values[] = {Values(1), Values(2), Values(3), Values(4)};
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, values[0].bits, 64);
  _tile_loadd(5, values[1].bits, 64);
  _tile_loadd(6, values[2].bits, 64);
  _tile_loadd(7, values[3].bits, 64);
  for (int r = 0; r < REPEATS; r++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 4.0 * REPEATS * 2 * 16 * 16 * 32;
}
#elif defined(__AVX512BF16__)
bool prepare_bf16() { return true; }

double bf16_chains() {
  const __m512bh factor = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.001f), _mm512_set1_ps(0.001f));
  const __m512 zero = _mm512_setzero_ps();
  EACH(START)
#define STEP(i) sum##i = _mm512_dpbf16_ps(sum##i, factor, factor); KEEP(i)
  for (int r = 0; r < REPEATS; r++) { EACH(STEP) }
#undef STEP
  return 2.0 * REPEATS * CHAINS * WIDTH * 2;
}
#else
bool prepare_bf16() { return true; }

// Without an instruction for bfloat16, its products are those of float32.
double bf16_chains() { return fma_chains(); }
#endif

double cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
}

// The operations of one thread in a second of its processor. Time that other programs take does not count, but they may lower the clock.
double rate(double (*chains)(), std::atomic<int> &waiting) {
  chains();
  waiting--;
  while (waiting.load() > 0) std::this_thread::yield();
  double operations = 0, seconds = 0;
  for (const double start = cpu_seconds(); seconds < 0.05; seconds = cpu_seconds() - start) operations += chains();
  return operations / seconds;
}

}  // namespace

int main(int count, char **arguments) {
  const int threads = count == 3 ? std::atoi(arguments[2]) : 0;
  const bool low = threads > 0 && std::strcmp(arguments[1], "bf16") == 0;
  if (threads < 1 || !(low || std::strcmp(arguments[1], "f32") == 0)) {
    std::fputs("usage: peak f32|bf16 THREADS\n", stderr);
    return 2;
  }
  if (low && !prepare_bf16()) {
    std::fputs("the system refuses tile data to this process\n", stderr);
    return 1;
  }
  std::atomic<int> waiting{threads};
  std::vector<double> rates(threads);
  std::vector<std::thread> all;
  for (int i = 0; i < threads; i++) all.emplace_back([&, i] { rates[i] = rate(low ? bf16_chains : fma_chains, waiting); });
  for (auto &thread : all) thread.join();
  double sum = 0;
  for (double each : rates) sum += each;
  std::printf("%.3f\n", sum / 1e9);
}
