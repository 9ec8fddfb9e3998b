// Checks the arguments of ops on lists of tensors, and calls the kernels of their device.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>
#include "check.h"
#include "error.h"

using namespace castor;

namespace {

enum class Use { read, update, step };  // a step is one float32 that is updated

struct List {
  const char *name;
  Use use;
};

void expect_use(const List &list, int i, const View &view, const View &first) {
  if (list.use == Use::step) {
    if (view.dtype != DType::f32 || view.numel() != 1) fail(CASTOR_SHAPE, "%s %d is not one float32", list.name, i);
    return;
  }
  if (!is_float(view.dtype)) fail(CASTOR_DTYPE, "%s %d is %s, expected a float dtype", list.name, i, name_of(view.dtype));
  if (view.rank != first.rank || !std::equal(view.size, view.size + view.rank, first.size)) {
    fail(CASTOR_SHAPE, "%s %d has another shape than its parameter", list.name, i);
  }
}

std::unique_ptr<View[]> read_lists(Call &call, castor_address address, int32_t count, const std::vector<List> &lists) {
  if (count < 0) fail(CASTOR_ARGUMENT, "%d is not a number of tensors", count);
  if (count == 0) return nullptr;
  const castor_view *from = views_at(address, "views");
  std::unique_ptr<View[]> views(new View[lists.size() * size_t(count)]);
  View *to = views.get();
  for (const List &list : lists) {
    for (int i = 0; i < count; i++, from++, to++) {
      list.use == Use::read ? read_input(call, list.name, *from, *to) : read_output(call, list.name, *from, *to);
      expect_use(list, i, *to, views[i]);
    }
  }
  return views;
}

template <class T> T numbers_at(const double *hyper) {
  expect_pointer(hyper, "hyper");
  T numbers;
  std::memcpy(&numbers, hyper, sizeof numbers);
  return numbers;
}

}  // namespace

int32_t castor_multi_unscale(castor_address views, int32_t count, castor_address inverse_scale, castor_address found_inf) {
  return guard("multi_unscale", [&] {
    Call call;
    const auto lists = read_lists(call, views, count, {{"gradient", Use::update}});
    const Input inverse(call, "inverse_scale", inverse_scale);
    const Output found(call, "found_inf", found_inf);
    expect_one(&inverse, DType::f32);
    expect_one(&found, DType::f32);
    if (count > 0) call.kernels().multi_unscale(lists.get(), count, inverse, found);
  });
}

int32_t castor_multi_norm(castor_address views, int32_t count, castor_address out, double p) {
  return guard("multi_norm", [&] {
    Call call;
    const auto lists = read_lists(call, views, count, {{"tensor", Use::read}});
    const Output y(call, "out", out);
    expect_one(&y, DType::f32);
    if (!(p >= 0)) fail(CASTOR_ARGUMENT, "p is %g, not the order of a norm", p);
    call.kernels().multi_norm(lists.get(), count, y, p);
  });
}

int32_t castor_multi_scale(castor_address views, int32_t count, castor_address factor) {
  return guard("multi_scale", [&] {
    Call call;
    const auto lists = read_lists(call, views, count, {{"tensor", Use::update}});
    const Input x(call, "factor", factor);
    expect_one(&x, DType::f32);
    if (count > 0) call.kernels().multi_scale(lists.get(), count, x);
  });
}

int32_t castor_multi_sgd(castor_address views, int32_t count, const double *hyper, castor_address learning_rate,
                         castor_address found_inf) {
  return guard("multi_sgd", [&] {
    Call call;
    const Sgd sgd = numbers_at<Sgd>(hyper);
    std::vector<List> layout = {{"parameter", Use::update}, {"gradient", Use::read}};
    if (sgd.momentum != 0) layout.push_back({"momentum buffer", Use::update});
    layout.push_back({"step", Use::step});
    const auto lists = read_lists(call, views, count, layout);
    const Optional<Input> rate(call, "learning_rate", learning_rate), found(call, "found_inf", found_inf);
    expect_one(rate, DType::f64);
    expect_one(found, DType::f32);
    if (count > 0) call.kernels().multi_sgd(lists.get(), count, sgd, rate, found);
  });
}

int32_t castor_multi_adam(castor_address views, int32_t count, const double *hyper, castor_address learning_rate,
                          castor_address found_inf) {
  return guard("multi_adam", [&] {
    Call call;
    const Adam adam = numbers_at<Adam>(hyper);
    std::vector<List> layout = {{"parameter", Use::update}, {"gradient", Use::read}, {"first moment", Use::update},
                                {"second moment", Use::update}, {"step", Use::step}};
    if (adam.amsgrad != 0) layout.push_back({"largest second moment", Use::update});
    const auto lists = read_lists(call, views, count, layout);
    const Optional<Input> rate(call, "learning_rate", learning_rate), found(call, "found_inf", found_inf);
    expect_one(rate, DType::f64);
    expect_one(found, DType::f32);
    if (count > 0) call.kernels().multi_adam(lists.get(), count, adam, rate, found);
  });
}

int32_t castor_update_scale(castor_address scale, castor_address tracker, castor_address found_inf, const double *hyper) {
  return guard("update_scale", [&] {
    Call call;
    const Output factor(call, "scale", scale), steps(call, "tracker", tracker);
    const Input found(call, "found_inf", found_inf);
    const ScaleRule rule = numbers_at<ScaleRule>(hyper);
    expect_one(&factor, DType::f32);
    expect_one(&steps, DType::i32);
    expect_one(&found, DType::f32);
    call.kernels().update_scale(factor, steps, found, rule);
  });
}
