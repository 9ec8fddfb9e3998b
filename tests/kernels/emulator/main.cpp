// castor_emulator_tests_emulated, _asan, _race [part of a name ...]: the emulator's own tests.
#include <sys/wait.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "../../../cuda/emulator/memory.h"
#include "../../../cuda/emulator/options.h"
#include "bug.h"

namespace tests {
namespace {

using castor::emulator::options;
using castor::emulator::Order;

struct Test { const char *name; FoundBy found_by; Body body; bool has_bug; };
std::vector<Test> &all() {
  static std::vector<Test> list;
  return list;
}

const char *of_this_build(const FoundBy &by) {
#if defined(__SANITIZE_ADDRESS__)
  return by.asan;
#elif defined(CASTOR_EMULATOR_RACE)
  return by.race;
#else
  return by.emulated;
#endif
}

struct Result { bool clean; std::string output; };

// The process exits normally, without output, only if everything went well.
Result run_apart(const Test &test, bool with_bug) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    const bool right = test.body(with_bug);
    std::string report = castor::emulator::take_report();
    if (const size_t left = castor::emulator::buffers_left()) report += std::to_string(left) + " device buffer(s) not freed";
    std::fprintf(stderr, "%s", report.c_str());
    _exit(right && report.empty() ? 0 : 1);
  }
  close(ends[1]);
  Result result{false, {}};
  char text[4096];
  for (ssize_t n; (n = read(ends[0], text, sizeof text)) > 0;) result.output.append(text, size_t(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  result.clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (WIFSIGNALED(status)) result.output += std::string("ended by ") + strsignal(WTERMSIG(status));
  return result;
}

constexpr Order ORDERS[] = {Order::forward, Order::reverse, Order::skew_low, Order::skew_high, Order::random, Order::random_skew};
constexpr int SEEDS = 3;

// Describes what is wrong, or returns an empty text.
std::string runs_clean(const Test &test) {
  for (Order order : ORDERS) {
    options().order = order;
    const Result result = run_apart(test, false);
    if (!result.clean) return "order " + std::to_string(int(order)) + (result.output.empty() ? ": a wrong result" : ": " + result.output);
  }
  return "";
}

std::string finds_bug(const Test &test) {
  const char *by = of_this_build(test.found_by);
  if (by == UNSEEN) return "";
  std::string seen;
  options().order = Order::random_skew;
  const uint64_t seed = options().seed;
  for (int i = 0; i < SEEDS; i++) {
    options().seed = seed + uint64_t(i);
    const Result result = run_apart(test, true);
    if (!result.clean && (by == WRONG || result.output.find(by) != std::string::npos)) seen = "found";
    else if (seen.empty()) seen = result.output;
  }
  options().seed = seed;
  if (seen == "found") return "";
  return std::string("the bug was not found") + (*by ? std::string(" by '") + by + "'" : "") + (seen.empty() ? "" : ", but this: " + seen);
}

bool is_wanted(const char *name, int count, char **parts) {
  for (int i = 0; i < count; i++) {
    if (std::strstr(name, parts[i])) return true;
  }
  return count == 0;
}

}  // namespace

Bug::Bug(const char *name, FoundBy found_by, Body body) { all().push_back({name, found_by, std::move(body), true}); }
Works::Works(const char *name, std::function<bool()> body) {
  all().push_back({name, {UNSEEN, UNSEEN, UNSEEN}, [body = std::move(body)](bool) { return body(); }, false});
}

}  // namespace tests

int main(int count, char **parts) {
  using namespace tests;
  int passed = 0, failed = 0;
  for (const Test &test : all()) {
    if (!is_wanted(test.name, count - 1, parts + 1)) continue;
    std::string wrong = runs_clean(test);
    if (wrong.empty() && test.has_bug) wrong = finds_bug(test);
    (wrong.empty() ? passed : failed)++;
    if (!wrong.empty())
      std::printf("FAILED %s\n    %s\n    repeat: CASTOR_EMULATOR_SEED=%llu\n", test.name, wrong.c_str(),
                  (unsigned long long)options().seed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
