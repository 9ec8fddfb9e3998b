// castor_kernel_tests [--kinds] [--kind NAME] [--sample N] [--case NAME] [--after NAME] [--progress FILE] [part of a case's name ...] runs
// every case whose name contains one of the parts, or about one in N of them, always the same ones. --case runs the case of that name only,
// --after those that come after it. The file of --progress always begins with a line of the counts and the name of the case that runs, for
// those who find that the program was killed.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "harness.h"
#include "run.h"

namespace tests {
namespace {

struct NamedKind { const char *name; std::function<void()> cases; };
std::vector<NamedKind> &kinds() {
  static std::vector<NamedKind> list;
  return list;
}

std::vector<std::string> wanted;
std::string only, after;  // the names of --case and --after
bool reached = true;      // whether the case named by `after` has passed by
int progress = -1;        // the descriptor of --progress
uint64_t sample = 1;
int passed = 0, failed = 0;
char current[256] = "";

bool is_wanted(const std::string &name) {
  if (!reached) {
    reached = name == after;
    return false;
  }
  if (!only.empty()) return name == only;
  if (hash(name) % sample != 0) return false;
  if (wanted.empty()) return true;
  for (const std::string &part : wanted)
    if (name.find(part) != std::string::npos) return true;
  return false;
}

void print_repeat(const std::string &name) {
  std::printf("    repeat: CASTOR_TEST_SEED=%llu", (unsigned long long)run_seed());
  for (const char *variable :
       {"CASTOR_CUBLAS", "CASTOR_CUBLAS_LIBRARY", "CASTOR_CUDA_THREADS", "CASTOR_EMULATOR_ARCHITECTURE", "CASTOR_EMULATOR_ORDER",
        "CASTOR_EMULATOR_SEED", "CASTOR_EMULATOR_STREAMS", "CASTOR_LIBRARY", "CASTOR_MATMUL_TILE"}) {
    if (const char *value = std::getenv(variable)) std::printf(" %s=%s", variable, value);
  }
  std::printf(" castor_kernel_tests '%s'\n", name.c_str());
}

// Prints the name of the case that a crash, or a report of AddressSanitizer, has ended.
void write_current() {
  for (const char *text : {"crashed in: ", static_cast<const char *>(current), "\n"}) {
    if (write(STDERR_FILENO, text, std::strlen(text)) < 0) return;
  }
}

void watch_for_crashes() {
  using Callback = void (*)(void (*)());
  if (const auto set = reinterpret_cast<Callback>(dlsym(RTLD_DEFAULT, "__sanitizer_set_death_callback"))) return set(write_current);
  for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT}) {
    std::signal(number, [](int caught) {
      write_current();
      std::signal(caught, SIG_DFL);
      std::raise(caught);
    });
  }
}

// It is written before each case, because nothing can be written once the program is killed. A disk that is full is no reason to stop.
void write_progress(const char *name) {
  if (progress < 0) return;
  char line[320];
  std::snprintf(line, sizeof line, "%d passed, %d failed, then %s", passed, failed, name);
  const size_t length = std::strlen(line);
  std::memset(line + length, ' ', sizeof line - length);
  line[sizeof line - 1] = '\n';
  if (pwrite(progress, line, sizeof line, 0) < 0) progress = -1;
}

// After a fault the device refuses every call.
void stop_if_lost() {
  if (castor().synchronize(CASTOR_CUDA) == CASTOR_OK) return;
  std::printf("the device is lost (%s): the other cases were not run\n%d passed, %d failed\n", castor().last_error(), passed, failed);
  std::exit(1);
}

int run(const std::string &kind) {
  for (const NamedKind &k : kinds()) {
    if (kind.empty() || kind == k.name) k.cases();
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  write_progress("the end");
  // A kind may have no case with this part of a name, and none after the last.
  const bool tested = passed > 0 || (!kind.empty() && !wanted.empty()) || (reached && !after.empty());
  return tested && failed == 0 ? 0 : 1;
}

}  // namespace

uint64_t hash(const std::string &text) {  // FNV-1a
  uint64_t h = 0xcbf29ce484222325u;
  for (unsigned char c : text) h = (h ^ c) * 0x100000001b3u;
  return h;
}

uint64_t run_seed() {
  static const char *text = std::getenv("CASTOR_TEST_SEED");
  static const uint64_t seed = text ? std::strtoull(text, nullptr, 10) : std::random_device{}();
  return seed;
}

Kind::Kind(const char *name, std::function<void()> cases) { kinds().push_back({name, std::move(cases)}); }

void check(const std::string &name, const std::function<void(Case &)> &build) {
  if (!is_wanted(name)) return;
  std::snprintf(current, sizeof current, "%s", name.c_str());
  write_progress(current);
  try {
    Case one(name);
    build(one);
    if (!one.ran()) throw Failure("makes no call");
    passed++;
  } catch (const Failure &failure) {
    failed++;
    std::printf("FAILED %s\n    %s\n", name.c_str(), failure.what());
    print_repeat(name);
    std::fflush(stdout);
    stop_if_lost();
  }
}

}  // namespace tests

int main(int count, char **arguments) {
  using namespace tests;
  std::string kind;
  for (int i = 1; i < count; i++) {
    if (std::strcmp(arguments[i], "--kinds") == 0) {
      for (const NamedKind &k : kinds()) std::printf("%s\n", k.name);
      return 0;
    }
    if (std::strcmp(arguments[i], "--kind") == 0 && i + 1 < count) kind = arguments[++i];
    else if (std::strcmp(arguments[i], "--case") == 0 && i + 1 < count) only = arguments[++i];
    else if (std::strcmp(arguments[i], "--after") == 0 && i + 1 < count) after = arguments[++i], reached = false;
    else if (std::strcmp(arguments[i], "--progress") == 0 && i + 1 < count)
      progress = open(arguments[++i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    else if (std::strcmp(arguments[i], "--sample") == 0 && i + 1 < count)
      sample = std::max<uint64_t>(1, std::strtoull(arguments[++i], nullptr, 10));
    else wanted.push_back(arguments[i]);
  }
  std::printf("CASTOR_TEST_SEED=%llu\n", (unsigned long long)run_seed());
  std::fflush(stdout);
  watch_for_crashes();
  return run(kind);
}
