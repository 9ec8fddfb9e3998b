// Functions of the library as a whole: its version, the names of ops, and settings.
#include <atomic>
#include <sstream>
#include <string>
#include "../cpu/threads.h"
#include "../kernels/ops.h"
#include "device.h"
#include "error.h"

using namespace castor;

#define NAME(name, ...) " " #name
#define UNARY NAME
#define BINARY NAME
#define COMPARE NAME
#define TERNARY NAME
static const char op_names[] =
  "unary"
#include "../kernels/unary.inc"
  "\nbinary"
#include "../kernels/binary.inc"
  "\ncompare"
#include "../kernels/compare.inc"
  "\nternary"
#include "../kernels/ternary.inc"
  "\nreduce" CASTOR_REDUCE(NAME)
  "\nscan" CASTOR_SCAN(NAME)
  "\nsoftmax" CASTOR_SOFTMAX(NAME)
  "\nnorm" CASTOR_NORM(NAME)
  "\nbatchGroupNorm" CASTOR_BATCH_GROUP_NORM(NAME)
  "\ngather" CASTOR_GATHER(NAME)
  "\nscatter" CASTOR_SCATTER(NAME)
  "\nactivation" CASTOR_ACTIVATION(NAME)
  "\nconvolution" CASTOR_CONVOLUTION(NAME)
  "\npool" CASTOR_POOL(NAME)
  "\nrandom" CASTOR_RANDOM(NAME)
  "\nexpect" CASTOR_EXPECT(NAME) "\n";

std::string castor::name_of_op(const std::string &kind, int op) {
  std::istringstream lines(op_names);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word != kind) continue;
    for (int i = 0; i <= op && words >> word; i++) {}
    return word;
  }
  return kind;
}

int32_t castor_abi_version() { return CASTOR_ABI_VERSION; }

const char *castor_op_names() { return op_names; }

const char *castor_describe(int32_t device) {
  thread_local std::string text;
  try {
    text = find_device(device).describe();
  } catch (const Error &error) {
    text = "{\"available\":false,\"reason\":" + quoted(error.message) + "}";
  }
  return text.c_str();
}

static std::atomic<Precision> precision{Precision::highest};
Precision castor::float32_precision() { return precision; }

int32_t castor_set_float32_precision(int32_t wanted) {
  return guard("set_float32_precision", [&] {
    if (wanted < 0 || wanted > int32_t(Precision::medium)) fail(CASTOR_ARGUMENT, "%d is not a precision: there are 0, 1 and 2", wanted);
    precision = Precision(wanted);
  });
}

int32_t castor_set_threads(int32_t count) {
  return guard("set_threads", [&] {
    if (count < 1) fail(CASTOR_ARGUMENT, "%d is not a number of threads", count);
    set_thread_count(count);
  });
}
