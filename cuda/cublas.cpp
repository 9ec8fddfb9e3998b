// Where cuBLASLt is looked for, and whether it is used.
#include "cublas.h"
#include <dlfcn.h>
#include <glob.h>
#include <link.h>
#include <atomic>
#include <cstdlib>
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

// The folder of the driver's library, which is loaded by now.
std::string driver_folder() {
  char folder[4096] = "";
  if (void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD)) {
    dlinfo(driver, RTLD_DI_ORIGIN, folder);
    dlclose(driver);
  }
  return folder;
}

// Folders, as patterns; an empty one is what the loader searches.
std::vector<std::string> folders() {
#if defined(CASTOR_EMULATOR)
  return {"nowhere, since cuBLASLt cannot work on the memory of the executor"};
#endif
  std::vector<std::string> list = {""};
  if (const std::string folder = driver_folder(); !folder.empty()) list.push_back(folder);
  for (const char *home : {"CUDA_HOME", "CUDA_PATH"})
    if (!variable(home).empty()) list.push_back(variable(home) + "/lib64"), list.push_back(variable(home) + "/lib");
  list.push_back("/usr/local/cuda/lib64");
  std::vector<std::string> pythons = {variable("HOME") + "/.local/lib", "/usr/lib", "/usr/local/lib"};
  for (const char *environment : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (!variable(environment).empty()) pythons.push_back(variable(environment) + "/lib");
  for (const std::string &python : pythons)
    for (const char *packages : {"/python3*/site-packages", "/python3*/dist-packages", "/python3/dist-packages"})
      for (const char *wheel : {"/nvidia/cu1[23]/lib", "/nvidia/cublas/lib"}) list.push_back(python + packages + wheel);
  return list;
}

std::vector<std::string> files_of(const std::string &folder, const char *name) {
  if (folder.empty()) return {name};
  std::vector<std::string> files;
  glob_t found{};
  if (glob((folder + "/" + name).c_str(), 0, nullptr, &found) == 0) files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
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
  if (!whole) dlclose(handle);
  return whole;
}

// Searches, and says where.
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

// What was decided, once and for all.
struct Choice {
  Library library{};
  bool used = false;
  std::string error;

  Choice() {
    const std::string wish = variable("CASTOR_CUBLAS");
    std::string searched;
    if (wish != "0") used = find(library, searched);
    if (wish != "1" || used) return;
    error = "CASTOR_CUBLAS=1, but cuBLASLt was not found; looked in " + searched + ". CASTOR_CUBLAS_LIBRARY can name it";
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

}  // namespace castor::cuda::cublas

namespace castor::cuda {

std::string matmul_backend() {
  if (!cublas::decided) return "chosen by the first product";
  if (!cublas::choice().used) return "castor";
  const size_t version = cublas::choice().library.GetVersion();
  return "cublasLt " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100);
}

}  // namespace castor::cuda
