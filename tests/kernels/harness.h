// Cases: a call with random tensors is made on the CPU and on the CUDA device, and the results of the two have to agree.
//
// A kind is one file with
//   static const Kind softmax("softmax", [] {
//     check("softmax f32 of rows", [](Case &c) {
//       const int a = c.input(f32, {33, 65}), out = c.output(f32, {33, 65});
//       c.run([&](const castor_address *v) { return castor().softmax(0, v[a], v[out], 1); });
//     });
//   });
// The names of cases are unique. The random tensors of a case depend only on CASTOR_TEST_SEED and its name, so that a case that is run
// alone repeats exactly what it did in the whole run.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include "library.h"
#include "tensor.h"

namespace tests {

class Case {
 public:
  explicit Case(const std::string &name);

  // Arguments. Each function returns the position in the list that the call receives. Arguments that are added one after the other are
  // neighbours there, as the views of a list have to be. Without a layout, a random one that is possible is used.
  int input(castor_dtype dtype, const Shape &size, const Values &values = normal());
  int input(castor_dtype dtype, const Shape &size, Layout layout, const Values &values = normal());
  int output(castor_dtype dtype, const Shape &size);
  int output(castor_dtype dtype, const Shape &size, Layout layout);
  int in_place(castor_dtype dtype, const Shape &size, const Values &values = normal());  // read and written
  int in_place(castor_dtype dtype, const Shape &size, Layout layout, const Values &values = normal());
  int constant(castor_dtype dtype, double value);
  int absent();
  // Whether some elements of an argument share memory. The terms of a sum may then be equal, and their rounding errors add up.
  bool repeats(int argument) const { return arguments_[size_t(argument)].tensor.layout == name_of(Layout::broadcast); }

  // A result is a sum of about this many terms, each about as large as magnitude. This bounds the effect of the order of the sum.
  double terms = 1, magnitude = 1;
  // For an elementwise op: the magnitude for each element, from the elements of the inputs.
  std::function<double(const double *inputs)> magnitude_of;
  // The further difference that two correct results may have, in units of the last place of the arithmetic type.
  double ulps = 8;
  // The rounding error of an intermediate result in a shorter dtype than the output, as a fraction of it.
  double relative = 0;
  // Whether a float64 output contains what was computed in float32.
  bool in_float = false;

  // Whether an infinity may be a NaN: infinity times a probability of 0 is one or the other, depending on the order of the products.
  bool infinite_or_nan = false;
  // The seed of the random numbers that the call uses, which a capture has to know.
  double seed = 0;

  // The status that the call must return on both devices, or that the next waiting call returns.
  int32_t expected = CASTOR_OK;
  static constexpr int32_t SAME_AS_CPU = -1;

  // The device of the current call.
  int32_t device = CASTOR_CPU;
  // Whether the call may be captured in a graph.
  bool capturable = true;

  // Makes the call on both devices and throws a description of what is wrong. v[i] is the address of argument i, or 0 if it is absent. The
  // call must have the same results bit for bit when it is captured in a graph and replayed, and on another thread; some cases on the CUDA
  // device check this.
  using Call = std::function<int32_t(const castor_address *v)>;
  void run(const Call &call);

  bool ran() const { return ran_; }

  Random random;

 private:
  enum class Use { input, output, constant, absent };
  struct Argument { Use use; Tensor tensor; double value; };
  struct Answer;

  int add(Use use, Tensor tensor = {}, double value = 0);
  Layout any_layout(bool written);
  enum class How { plainly, elsewhere, replayed };
  Answer answer_of(int32_t device, const Call &call, How how = How::plainly);
  int32_t replayed(const Call &call, const std::vector<castor_address> &addresses, std::vector<castor_view> &views) const;
  std::string compare(const Answer &cpu, const Answer &cuda) const;
  std::string compare(const Argument &argument, const std::vector<unsigned char> &cpu, const std::vector<unsigned char> &cuda) const;
  double allowed(castor_dtype dtype, double expected, double magnitude) const;
  std::vector<double> magnitudes(const Shape &size) const;

  const uint64_t sample_;
  std::vector<Argument> arguments_;
  bool ran_ = false;
};

struct Kind {
  Kind(const char *name, std::function<void()> cases);
};

// Builds and runs a case, unless the command line selects others. A case that never runs its call fails.
void check(const std::string &name, const std::function<void(Case &)> &build);

int32_t on_another_thread(const std::function<int32_t()> &call);

}  // namespace tests
