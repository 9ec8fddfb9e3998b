#include "harness.h"
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include "run.h"

namespace tests {
namespace {

// The replacement of cuBLASLt computes when it is called, not when a stream or a graph reaches the call.
const bool REPLAYS = !std::getenv("CASTOR_TEST_NO_REPLAYS");

struct Storage {
  castor_handle handle;
  Storage(int32_t device, const std::vector<unsigned char> &bytes) : handle(castor().alloc(device, double(bytes.size()))) {
    if (!handle) throw Failure(castor().last_error());
    if (castor().write(handle, 0, bytes.data(), double(bytes.size())) != CASTOR_OK) throw Failure(castor().last_error());
  }
  ~Storage() { castor().free(handle); }
};

struct Epsilon { double rounding, least; };  // half a unit in the last place of 1; the spacing of denormal numbers
Epsilon epsilon(castor_dtype dtype) {
  switch (dtype) {
    case CASTOR_FLOAT16: return {0x1p-11, 0x1p-24};
    case CASTOR_BFLOAT16: return {0x1p-8, 0x1p-133};
    case CASTOR_FLOAT64: return {0x1p-53, 0};
    default: return {0x1p-24, 0x1p-149};
  }
}

}  // namespace

// ---- arguments -------------------------------------------------------------------------------------------------------

Case::Case(const std::string &name) : random(hash(name) ^ run_seed()), sample_(hash(name) >> 32) {}

int Case::add(Use use, Tensor tensor, double value) {
  arguments_.push_back({use, std::move(tensor), value});
  return int(arguments_.size()) - 1;
}
Layout Case::any_layout(bool written) { return LAYOUTS[random() % (std::size(LAYOUTS) - (written ? 1 : 0))]; }

int Case::input(castor_dtype dtype, const Shape &size, const Values &values) { return input(dtype, size, any_layout(false), values); }
int Case::input(castor_dtype dtype, const Shape &size, Layout layout, const Values &values) {
  return add(Use::input, make_tensor(random, dtype, size, layout, values));
}
int Case::output(castor_dtype dtype, const Shape &size) { return output(dtype, size, any_layout(true)); }
int Case::output(castor_dtype dtype, const Shape &size, Layout layout) { return in_place(dtype, size, layout, whole(0, 99)); }
int Case::in_place(castor_dtype dtype, const Shape &size, const Values &values) { return in_place(dtype, size, any_layout(true), values); }
int Case::in_place(castor_dtype dtype, const Shape &size, Layout layout, const Values &values) {
  return add(Use::output, make_tensor(random, dtype, size, layout, values));
}
int Case::constant(castor_dtype dtype, double value) {
  Tensor tensor;
  tensor.dtype = dtype;
  return add(Use::constant, std::move(tensor), value);
}
int Case::absent() { return add(Use::absent); }

// ---- one device ------------------------------------------------------------------------------------------------------

struct Case::Answer {
  int32_t status;
  std::string error;
  std::vector<std::vector<unsigned char>> bytes;  // of each argument's storage after the call
  bool same(const Answer &other) const { return status == other.status && bytes == other.bytes; }
};

int32_t on_another_thread(const std::function<int32_t()> &call) {
  int32_t status = CASTOR_OK;
  std::thread([&] { status = call(); }).join();
  return status;
}

Case::Answer Case::answer_of(int32_t where, const Call &call, How how) {
  device = where;
  std::vector<std::unique_ptr<Storage>> storages;
  std::vector<castor_view> views(arguments_.size());
  std::vector<castor_address> addresses(arguments_.size());
  for (size_t i = 0; i < arguments_.size(); i++) {
    const Argument &argument = arguments_[i];
    const bool stored = argument.use == Use::input || argument.use == Use::output;
    storages.push_back(stored ? std::make_unique<Storage>(device, argument.tensor.bytes) : nullptr);
    views[i] = argument.tensor.view(stored ? storages[i]->handle : 0);
    if (argument.use == Use::constant) views[i].offset = argument.value;
    addresses[i] = argument.use == Use::absent ? 0 : castor_address(reinterpret_cast<uintptr_t>(&views[i]));
  }
  Answer answer{how == How::replayed    ? replayed(call, addresses, views)
                : how == How::elsewhere ? on_another_thread([&] { return call(addresses.data()); })
                                        : call(addresses.data()), {}, {}};
  if (answer.status == CASTOR_OK) answer.status = castor().synchronize(device);
  if (answer.status != CASTOR_OK) answer.error = castor().last_error();
  for (size_t i = 0; i < arguments_.size(); i++) {
    answer.bytes.emplace_back(arguments_[i].tensor.bytes.size());
    if (!storages[i] || answer.status != CASTOR_OK) continue;
    answer.status = castor().read(storages[i]->handle, 0, answer.bytes[i].data(), double(answer.bytes[i].size()));
    if (answer.status != CASTOR_OK) answer.error = castor().last_error();
  }
  return answer;
}

// The views are destroyed before the graph runs, so a graph must not refer to memory on the caller's stack.
int32_t Case::replayed(const Call &call, const std::vector<castor_address> &addresses, std::vector<castor_view> &views) const {
  constexpr double OFFSET = 5;
  if (castor().capture_begin(device, seed, OFFSET) != CASTOR_OK) return castor().last_status();
  const int32_t status = call(addresses.data());
  const castor_handle graph = castor().capture_end(device);
  if (!graph) return castor().last_status();
  std::memset(static_cast<void *>(views.data()), 0xFF, views.size() * sizeof(castor_view));
  const int32_t replay = status == CASTOR_OK ? castor().graph_replay(graph, seed, OFFSET) : status;
  castor().graph_free(graph);
  return replay;
}

// ---- comparison ------------------------------------------------------------------------------------------------------

// The magnitude for each element of an output.
std::vector<double> Case::magnitudes(const Shape &size) const {
  std::vector<double> all(size_t(count_of(size)), magnitude);
  if (!magnitude_of) return all;
  std::vector<std::vector<double>> inputs(all.size());  // the value of each element
  for (const Argument &a : arguments_) {
    if (a.use == Use::constant)
      for (auto &values : inputs) values.push_back(a.value);
    if (a.use == Use::input)
      a.tensor.each([&](int64_t at, int64_t i) {
        inputs[size_t(i)].push_back(read_element(a.tensor.dtype, a.tensor.bytes.data() + at * size_of(a.tensor.dtype)));
      });
  }
  for (size_t i = 0; i < all.size(); i++) all[i] = magnitude_of(inputs[i].data());
  return all;
}

double Case::allowed(castor_dtype dtype, double expected, double magnitude) const {
  if (!is_float(dtype)) return 0;
  const Epsilon own = epsilon(dtype), arithmetic = epsilon(dtype == f64 && !in_float ? f64 : f32);
  const double size = std::fabs(expected);
  const double rounding = own.rounding > arithmetic.rounding ? 2 * own.rounding * size + own.least : own.least;
  // Partial sums are as large as a term, and with equal terms as large as the result.
  return rounding + (relative + (ulps + terms) * arithmetic.rounding) * size + terms * magnitude * arithmetic.rounding;
}

std::string Case::compare(const Argument &argument, const std::vector<unsigned char> &cpu, const std::vector<unsigned char> &cuda) const {
  const Tensor &tensor = argument.tensor;
  const int64_t width = size_of(tensor.dtype);
  std::vector<int64_t> number(size_t(tensor.elements()), -1);  // of each element of the storage; -1 outside the tensor
  if (argument.use == Use::output) tensor.each([&](int64_t at, int64_t i) { number[size_t(at)] = i; });
  const std::vector<double> magnitude_at = argument.use == Use::output ? magnitudes(tensor.size) : std::vector<double>{};
  std::string first;
  int64_t wrong = 0;
  for (int64_t at = 0; at < tensor.elements(); at++) {
    const unsigned char *a = cpu.data() + at * width, *b = cuda.data() + at * width;
    const bool inside = number[size_t(at)] >= 0;
    if (std::memcmp(inside ? a : tensor.bytes.data() + at * width, b, size_t(width)) == 0) continue;
    const double x = read_element(tensor.dtype, a), y = read_element(tensor.dtype, b);
    const double most = inside ? allowed(tensor.dtype, x, magnitude_at[size_t(number[size_t(at)])]) : 0;
    if (inside && infinite_or_nan && !std::isfinite(x) && !std::isfinite(y)) continue;
    if (inside && (x == y || (std::isnan(x) && std::isnan(y)) || std::fabs(x - y) <= most)) continue;
    if (wrong++ > 0) continue;
    char text[200];
    if (inside) {
      std::snprintf(text, sizeof text, "element %lld: cpu %.9g, cuda %.9g, may differ by %.3g", (long long)number[size_t(at)], x, y, most);
    } else {
      std::snprintf(text, sizeof text, "wrote %.9g over %.9g at element %lld of the storage, which is no part of an output", y,
                    read_element(tensor.dtype, tensor.bytes.data() + at * width), (long long)at);
    }
    first = text;
  }
  return wrong == 0 ? "" : first + " (" + std::to_string(wrong) + " of " + std::to_string(count_of(tensor.size)) + " elements)";
}

std::string Case::compare(const Answer &cpu, const Answer &cuda) const {
  const int32_t wanted = expected == SAME_AS_CPU ? cpu.status : expected;
  for (const auto &[device, answer] : {std::pair("cpu", &cpu), std::pair("cuda", &cuda)}) {
    if (answer->status != wanted)
      return std::string(device) + " returned " + std::to_string(answer->status) + " (" + answer->error + "), not " +
             std::to_string(wanted);
  }
  if (cpu.status != CASTOR_OK) return "";
  for (size_t i = 0; i < arguments_.size(); i++) {
    const std::string difference = compare(arguments_[i], cpu.bytes[i], cuda.bytes[i]);
    if (!difference.empty()) return "argument " + std::to_string(i) + ", " + difference;
  }
  return "";
}

void Case::run(const Call &call) {
  ran_ = true;
  const Answer cpu = answer_of(CASTOR_CPU, call), cuda = answer_of(CASTOR_CUDA, call);
  std::string difference = compare(cpu, cuda);
  const auto must_repeat = [&](const Answer &answer, How how, const char *what) {
    if (difference.empty() && !answer.same(answer_of(device, call, how))) difference = what;
  };
  if (sample_ % 8 == 1 && expected == CASTOR_OK) must_repeat(cuda, How::elsewhere, "another thread gets something else");
  if (sample_ % 8 == 0 && capturable && REPLAYS) must_repeat(cuda, How::replayed, "a replay of its graph gives something else");
  device = CASTOR_CPU;
  if (capturable) must_repeat(cpu, How::replayed, "a replay of its graph on the CPU gives something else");
  if (difference.empty()) return;
  std::string text = difference;
  for (size_t i = 0; i < arguments_.size(); i++) {
    const Argument &a = arguments_[i];
    text += "\n    argument " + std::to_string(i) + ": ";
    text += a.use == Use::absent     ? "absent"
            : a.use == Use::constant ? std::string(name_of(a.tensor.dtype)) + " constant " + std::to_string(a.value)
                                     : (a.use == Use::input ? "" : "written ") + a.tensor.describe();
  }
  throw Failure(text);
}

}  // namespace tests
