// Cases: a call with random tensors, made on the CPU and on the CUDA device; what the two leave in memory must agree.
//
// A kind is one file with
//   static const Kind softmax("softmax", [] {
//     check("softmax f32 of rows", [](Case &c) {
//       const int a = c.input(f32, {33, 65}), out = c.output(f32, {33, 65});
//       c.run([&](const castor_address *v) { return castor().softmax(0, v[a], v[out], 1); });
//     });
//   });
// The names of cases are unique: the random tensors of a case follow from CASTOR_TEST_SEED and its name, so that one case alone
// repeats what the whole run did.
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

  // Arguments; each returns its place in the list that the call gets, and arguments that follow each other lie one after another there,
  // as lists of views do. Without a layout, any that fits the use is taken at random.
  int input(castor_dtype dtype, const Shape &size, const Values &values = normal());
  int input(castor_dtype dtype, const Shape &size, Layout layout, const Values &values = normal());
  int output(castor_dtype dtype, const Shape &size);
  int output(castor_dtype dtype, const Shape &size, Layout layout);
  int in_place(castor_dtype dtype, const Shape &size, const Values &values = normal());  // read and written
  int in_place(castor_dtype dtype, const Shape &size, Layout layout, const Values &values = normal());
  int constant(castor_dtype dtype, double value);
  int absent();
  // Does an argument hold some elements again and again? Terms of a sum may then be equal, and their roundings add up.
  bool repeats(int argument) const { return arguments_[size_t(argument)].tensor.layout == name_of(Layout::broadcast); }

  // A result is a sum of about this many terms, each about as large as magnitude: how far the order of a sum may move it.
  double terms = 1, magnitude = 1;
  // Of an elementwise op: the magnitude for each element, from the elements of the inputs.
  std::function<double(const double *inputs)> magnitude_of;
  // What else two right answers may differ by, in units of the last place of the type the arithmetic runs in.
  double ulps = 8;
  // The rounding of an intermediate result that is kept in a shorter dtype than the output, as a fraction of it.
  double relative = 0;
  // Whether a float64 output holds what was computed in float32.
  bool in_float = false;

  // Whether an infinity may be a NaN: an infinity times a probability of 0 is one or the other by where the product is taken.
  bool infinite_or_nan = false;
  // Of the random numbers that the call asks for: a capture must know it.
  double seed = 0;

  // What the call must return on both devices, from itself or from the next that waits.
  int32_t expected = CASTOR_OK;
  static constexpr int32_t SAME_AS_CPU = -1;

  // Where the call is made now.
  int32_t device = CASTOR_CPU;
  // Whether the call may be captured in a graph.
  bool capturable = true;

  // Makes the call on both devices and throws what is wrong. v[i]: the address of argument i, or 0 if it is absent. Captured in a graph
  // and replayed, it must leave the same bits, and so it must on another thread; on the CUDA device some cases show that.
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

// Builds and runs a case, unless the command line asks for others. A case that never runs its call fails.
void check(const std::string &name, const std::function<void(Case &)> &build);

int32_t on_another_thread(const std::function<int32_t()> &call);

}  // namespace tests
