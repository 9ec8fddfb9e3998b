#include "backend.h"
#include <cstdlib>
#include <cstring>
#include "machine.h"
#include "memory.h"
#include "threads.h"

namespace castor {

namespace generic { extern const Backend backend; }
namespace avx2 { extern const Backend backend; }
namespace avx512 { extern const Backend backend; }

namespace {

struct Isa {
  const char *name;
  const Backend &kernels;
};

#if defined(__x86_64__)
int widest_supported() {
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return v3 && v4 ? 2 : v3 ? 1 : 0;
}

// CASTOR_ISA may ask for less than the machine has, never for more.
const Isa &chosen_isa() {
  static const Isa isas[] = {{"generic", generic::backend}, {"avx2", avx2::backend}, {"avx512", avx512::backend}};
  const int widest = widest_supported();
  const char *wanted = std::getenv("CASTOR_ISA");
  for (int i = 0; wanted && i < widest; i++) {
    if (std::strcmp(wanted, isas[i].name) == 0) return isas[i];
  }
  return isas[widest];
}
#else
const Isa &chosen_isa() {
  static const Isa only{"generic", generic::backend};
  return only;
}
#endif

const Isa &isa() {
  static const Isa &chosen = chosen_isa();
  return chosen;
}

// One core does not fill the memory bus.
void copy_bytes(void *to, const void *from, int64_t bytes) {
  parallel_for(bytes, 1 << 22, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char *>(to) + begin, static_cast<const char *>(from) + begin, size_t(end - begin));
  });
}

std::string quoted(const std::string &text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    if (c >= ' ' || c < 0) json += c;
  }
  return json + '"';
}

std::string describe() {
  return "{\"available\":true,\"name\":" + quoted(cpu_name()) + ",\"isa\":" + quoted(isa().name) +
         ",\"threads\":" + std::to_string(thread_count()) + "}";
}

}  // namespace

Device &cpu_device() {
  static Device device{CASTOR_CPU,     isa().kernels,    allocate,
                       release,        release_cached,   cached_bytes,
                       memory_total,   memory_available, copy_bytes,
                       [](const void *from, void *host, int64_t bytes) { copy_bytes(host, from, bytes); },
                       [] {},          describe};
  return device;
}

}  // namespace castor
