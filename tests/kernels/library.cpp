#include "library.h"
#include <dlfcn.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace tests {
namespace {

[[noreturn]] void stop(const std::string &why) {
  std::fprintf(stderr, "%s\n0 passed, 1 failed\n", why.c_str());
  std::exit(1);
}

Library open() {
  // The answers of the CPU are the reference. Levels with units for bfloat16 would read what attention computes in float32, such as its
  // probabilities, as two bfloat16 with 16 bits together, and differ from a GPU's where such terms cancel.
  setenv("CASTOR_ISA", "avx512", 0);
  const char *path = std::getenv("CASTOR_LIBRARY");
  if (!path) stop("CASTOR_LIBRARY must name the library to test");
  void *const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) stop(dlerror());
  Library library;
#define CASTOR_LOAD(name) \
  library.name = reinterpret_cast<decltype(&castor_##name)>(dlsym(handle, "castor_" #name)); \
  if (!library.name) stop(std::string(path) + " has no castor_" #name);
  CASTOR_FUNCTIONS(CASTOR_LOAD)
#undef CASTOR_LOAD
  if (library.abi_version() != CASTOR_ABI_VERSION) stop(std::string(path) + " speaks another version of the ABI");
  return library;
}

}  // namespace

std::vector<std::string> Library::ops(const std::string &kind) const {
  std::istringstream lines(op_names());
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word != kind) continue;
    std::vector<std::string> names;
    while (words >> word) names.push_back(word);
    return names;
  }
  stop("the library has no kind " + kind);
}

int Library::op(const std::string &kind, const std::string &name) const {
  const std::vector<std::string> names = ops(kind);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) stop(kind + " has no op " + name);
  return int(found - names.begin());
}

const Library &castor() {
  static const Library library = open();
  return library;
}

}  // namespace tests
