// Operands for kernels that support float dtypes only.
#pragma once
#include <optional>
#include "../kernels/dtype.h"
#include "../kernels/table.h"
#include "context.h"

namespace castor::cuda {

// A view as the kernel needs it: of float64 if the arithmetic is float64, else of another float dtype, and contiguous if required. It is
// the view itself or a copy.
class Floats {
 public:
  Floats(const View &view, DType compute, bool contiguous = false) : of_(view) {
    if (!view.constant && (!contiguous || view.contiguous()) && is_float(view.dtype) &&
        (view.dtype == DType::f64) == (compute == DType::f64))
      return;
    copy_.dtype = compute == DType::f64 ? DType::f64 : DType::f32;
    copy_.rank = view.rank;
    copy_.device = view.device;
    int64_t stride = 1;
    for (int i = view.rank - 1; i >= 0; stride *= view.size[i--]) {
      copy_.size[i] = view.size[i];
      copy_.stride[i] = stride;
    }
    memory_.emplace(context_of(view), stride * size_of(copy_.dtype));
    copy_.data = memory_->as<void>();
  }
  const View &view() const { return memory_ ? copy_ : of_; }
  void read() { if (memory_) copy(of_, copy_); }
  void write() { if (memory_) copy(copy_, of_); }

 private:
  const View &of_;
  View copy_;
  std::optional<Scratch> memory_;
};

}  // namespace castor::cuda
