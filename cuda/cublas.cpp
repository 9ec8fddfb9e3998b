// Finds cuBLASLt, and decides whether it is used.
#include "cublas.h"
#include <dlfcn.h>
#include <glob.h>
#include <link.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>
#include "gemm.h"

namespace castor::cuda::cublas {
namespace {

constexpr const char *NAMES[] = {"libcublasLt.so.13", "libcublasLt.so.12"};

std::string variable(const char *name) {
  const char *text = std::getenv(name);
  return text ? text : "";
}

// The folder of the driver's library, which is loaded at this point.
std::string driver_folder() {
  char folder[4096] = "";
  if (void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD)) {
    dlinfo(driver, RTLD_DI_ORIGIN, folder);
    dlclose(driver);
  }
  return folder;
}

std::string real(const std::string &path) {
  char *text = realpath(path.c_str(), nullptr);
  const std::string result = text ? text : "";
  std::free(text);
  return result;
}
std::string parent(const std::string &path) { return path.substr(0, path.rfind('/')); }

// The folders of Python installations, in order of preference: active environments, those on PATH (whose links lead elsewhere), and usual
// places.
std::vector<std::string> pythons() {
  std::vector<std::string> list;
  const auto add = [&](const std::string &place) {
    if (!place.empty() && std::find(list.begin(), list.end(), place) == list.end()) list.push_back(place);
  };
  for (const char *environment : {"VIRTUAL_ENV", "CONDA_PREFIX"}) add(variable(environment));
  std::istringstream path(variable("PATH"));
  for (std::string folder; std::getline(path, folder, ':');)
    if (const std::string python = folder + "/python3"; access(python.c_str(), X_OK) == 0)
      add(parent(real(folder))), add(parent(parent(real(python))));
  const std::string home = variable("HOME");
  for (const std::string &place : {home + "/.local", home + "/.pyenv/versions/*"}) add(place);
  for (const char *place : {"/opt/conda", "/usr", "/usr/local"}) add(place);
  return list;
}

// Folders to search, as patterns. An empty one stands for the search path of the loader.
std::vector<std::string> folders() {
  std::vector<std::string> list = {""};
  if (const std::string folder = driver_folder(); !folder.empty()) list.push_back(folder);
  for (const char *home : {"CUDA_HOME", "CUDA_PATH"})
    if (!variable(home).empty()) list.push_back(variable(home) + "/lib64"), list.push_back(variable(home) + "/lib");
  list.push_back("/usr/local/cuda/lib64");
  for (const std::string &python : pythons()) list.push_back(python + "/lib/python3*/{site,dist}-packages/nvidia/{cu1[23],cublas}/lib");
  return list;
}

std::vector<std::string> files_of(const std::string &folder, const char *name) {
  if (folder.empty()) return {name};
  std::vector<std::string> files;
  glob_t found{};
  if (glob((folder + "/" + name).c_str(), GLOB_BRACE, nullptr, &found) == 0) files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return files;
}

bool open(const std::string &file, Library &library) {
  void *handle = dlopen(file.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (!handle) return false;
  bool whole = true;
#define CASTOR_CUBLAS_SYMBOL(name, result, arguments) \
  library.name = reinterpret_cast<result(*) arguments>(dlsym(handle, "cublasLt" #name)); \
  whole &= library.name != nullptr;
  CASTOR_CUBLAS_FUNCTIONS(CASTOR_CUBLAS_SYMBOL)
#undef CASTOR_CUBLAS_SYMBOL
#if defined(CASTOR_EMULATOR)
  // The real library cannot access the memory of the emulator, only the replacement that the tests use can.
  whole &= dlsym(handle, "castor_fake_cublas") != nullptr;
#endif
  if (!whole) dlclose(handle);
  return whole;
}

// Searches for the library, and records where it searched.
bool find(Library &library, std::string &searched) {
  const std::string given = variable("CASTOR_CUBLAS_LIBRARY");
  if (!given.empty()) {
    searched = given;
    return open(given, library);
  }
  for (const std::string &folder : folders()) {
    for (const char *name : NAMES)
      for (const std::string &file : files_of(folder, name))
        if (open(file, library)) return true;
    searched += (searched.empty() ? "" : ", ") + (folder.empty() ? "what the loader searches" : folder);
  }
  return false;
}

// The decision, which is made once.
struct Choice {
  Library library{};
  bool used = false, demanded = false;
  std::string error;

  Choice() {
    const std::string wish = variable("CASTOR_CUBLAS");
    std::string searched;
    if (wish != "0") used = find(library, searched);
    demanded = wish == "1";
    if (!demanded || used) return;
    error = "CASTOR_CUBLAS=1, but cuBLASLt was not found (CASTOR_CUBLAS_LIBRARY can name its file); looked in " + searched;
  }
};

std::atomic<bool> decided{false};

const Choice &choice() {
  static const Choice one;
  decided = true;
  return one;
}

}  // namespace

const Library *library() {
  const Choice &c = choice();
  if (!c.error.empty()) fail(CASTOR_DEVICE, "%s", c.error.c_str());
  return c.used ? &c.library : nullptr;
}

bool demanded() { return choice().demanded; }

}  // namespace castor::cuda::cublas

namespace castor::cuda {

std::string matmul_backend() {
  if (!cublas::decided) return "chosen by the first product";
  if (!cublas::choice().used) return "castor";
  const size_t version = cublas::choice().library.GetVersion();
  return "cublasLt " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100);
}

}  // namespace castor::cuda
