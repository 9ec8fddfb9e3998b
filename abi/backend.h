// The table of functions that every device implements: one row for each kind of op. The code in abi/ checks the arguments and calls the
// function of their device.
#pragma once
#include <cstdint>
#include <string>
#include "castor.h"

namespace castor {

enum class DType : int32_t { f32, f16, bf16, f64, i32, i64, u8, boolean };
// In bytes: one hexadecimal digit for each dtype, the first one lowest. On a GPU an array would be built in local memory at each call.
constexpr int64_t size_of(DType t) { return 0x11848224u >> 4 * int(t) & 15; }
constexpr bool is_float(DType t) { return t <= DType::f64; }
const char *name_of(DType t);

// The exception of the native library. The functions of the C ABI turn it into a status and a message.
struct Error {
  castor_status status;
  std::string message;
};
[[noreturn, gnu::format(printf, 2, 3)]] void fail(castor_status status, const char *format, ...);

enum class Precision : int32_t { highest, high, medium };
Precision float32_precision();  // see castor_set_float32_precision

// A castor_view that has been checked. Strides are in elements. A constant points into itself, so a View is only passed by reference.
struct View {
  void *data = nullptr;               // kernels find an address here; before, with `deferred`, it is the number of bytes from its start
  DType dtype = DType::f32;
  int32_t rank = 0;
  int64_t size[CASTOR_MAX_RANK];
  int64_t stride[CASTOR_MAX_RANK];
  int32_t device = 0;
  bool constant = false;              // data points at `value`, which holds one element of dtype
  struct Deferred *deferred = nullptr;  // memory that exists only when the work of a stream runs: see deferred.h
  alignas(8) unsigned char value[8];

  View() = default;
  View(const View &) = delete;
  View &operator=(const View &) = delete;

  template <class T> T *as() const { return static_cast<T *>(data); }
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= size[i];
    return n;
  }
  bool contiguous() const {
    int64_t expected = 1;
    for (int i = rank - 1; i >= 0; i--) {
      if (size[i] != 1 && stride[i] != expected) return false;
      expected *= size[i];
    }
    return true;
  }
};

struct Geometry { int32_t stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, groups; };
struct Window { int32_t kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, count_padding; };
struct Sgd { double lr, momentum, dampening, weight_decay, nesterov, maximize; };
struct Adam { double lr, beta1, beta2, eps, weight_decay, decoupled, amsgrad, maximize; };
struct Dropping { double p; uint64_t seed, offset; };  // the arguments of dropout; p = 0: none
struct ScaleRule { double growth, backoff, interval, floor, ceiling; };

// The arguments are those of castor.h, already checked: ranks, matching sizes, one device. A `const View *` is null where castor.h allows
// the argument to be absent. Lists of views are contiguous: lists[k * count + i] is tensor i of list k.
struct Backend {
  void (*fill)(const View &out, double value);
  void (*arange)(const View &out, double start, double step);
  void (*random)(int op, const View &out, uint64_t seed, uint64_t offset, double p0, double p1);
  void (*expect)(int op, const View &holds);
  void (*copy)(const View &a, const View &out);
  void (*unary)(int op, const View &a, const View &out, double p0, double p1);
  void (*binary)(int op, const View &a, const View &b, const View &out, double p0, double p1);
  void (*compare)(int op, const View &a, const View &b, const View &out);
  void (*ternary)(int op, const View &a, const View &b, const View &c, const View &out, double p0);
  void (*dropout)(const View &a, const View &out, double p, uint64_t seed, uint64_t offset);
  void (*triangle)(bool upper, const View &a, const View &out, int diagonal);
  void (*reduce)(int op, const View &a, const View &out, uint32_t axes, double p0);
  void (*scan)(int op, const View &a, const View &out, int axis);
  void (*softmax)(int op, const View &a, const View &out, int axis);
  void (*softmax_backward)(int op, const View &grad, const View &y, const View &out, int axis);
  void (*norm)(int op, const View &a, const View *weight, const View *bias, const View &out, const View *mean, const View &rstd,
               double eps);
  void (*norm_backward)(int op, const View &grad, const View &a, const View *weight, const View *mean, const View &rstd,
                        const View *grad_a, const View *grad_weight, const View *grad_bias);
  void (*batch_group_norm)(int op, const View &a, const View *weight, const View *bias, const View &out, const View &mean, const View &rstd,
                           const View *running_mean, const View *running_var, int groups, double momentum, double eps);
  void (*batch_group_norm_backward)(int op, const View &grad, const View &a, const View *weight, const View &mean, const View &rstd,
                                    const View *grad_a, const View *grad_weight, const View *grad_bias, int groups);
  void (*cross_entropy)(const View &logits, const View &target, const View &loss, const View &logsumexp, int64_t ignore, double smoothing);
  void (*cross_entropy_backward)(const View &grad, const View &logits, const View &target, const View &logsumexp, const View &out,
                                 int64_t ignore, double smoothing);
  void (*sort)(const View &a, const View &values, const View &indices, int axis, bool descending);
  void (*gather)(int op, const View &a, const View &index, const View &out, int axis);
  void (*scatter)(int op, const View &out, const View &index, const View &source, int axis);
  void (*matmul)(const View &a, const View &b, const View *bias, const View &out, int activation);
  void (*convolution)(int op, const View &a, const View &b, const View *bias, const View &out, const Geometry &geometry);
  void (*pool)(int op, const View &a, const View &out, const View *indices, const Window &window);
  void (*pool_backward)(int op, const View &grad, const View *indices, const View &out, const Window &window);
  void (*attention)(const View &q, const View &k, const View &v, const View *mask, const View &out, const View &logsumexp, double scale,
                    bool causal, const Dropping &dropping);
  void (*attention_backward)(const View &grad, const View &q, const View &k, const View &v, const View *mask, const View &out,
                             const View &logsumexp, const View &grad_q, const View &grad_k, const View &grad_v, double scale, bool causal,
                             const Dropping &dropping);
  void (*multi_unscale)(const View *lists, int count, const View &inverse_scale, const View &found_inf);
  void (*multi_norm)(const View *lists, int count, const View &out, double p);
  void (*multi_scale)(const View *lists, int count, const View &factor);
  void (*multi_sgd)(const View *lists, int count, const Sgd &hyper, const View *learning_rate, const View *found_inf);
  void (*multi_adam)(const View *lists, int count, const Adam &hyper, const View *learning_rate, const View *found_inf);
  void (*update_scale)(const View &scale, const View &tracker, const View &found_inf, const ScaleRule &rule);
};

}  // namespace castor
