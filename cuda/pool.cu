// max and average pooling (N, C, H, W), and their gradients. A thread computes one element of the result from all the windows or window
// positions that it depends on, in a fixed order, so no atomic additions are needed.
#include "../kernels/fold.h"
#include "../kernels/ops.h"
#include "../kernels/table.h"
#include "fault.h"
#include "launch.h"
#include "layout.h"
#include "pack.h"

namespace castor::cuda {
namespace {

// A view (N, C, H, W), as a kernel receives it.
struct Image {
  char *data;
  DType dtype;
  int64_t stride[4];

  explicit Image(const View &v) : data(v.as<char>()), dtype(v.dtype) { std::copy_n(v.stride, 4, stride); }
  __device__ __forceinline__ int64_t plane(uint32_t n, uint32_t c) const { return n * stride[0] + c * stride[1]; }
  __device__ __forceinline__ int64_t place(int y, int x) const { return y * stride[2] + x * stride[3]; }
};

// Pooling from `large` (H, W), the input, to `small` (oH, oW), the output. A thread has one element of either: element i is (n, c, y, x).
struct Plan {
  Window w;
  int height, width, rows, columns;  // of large, of small
  int64_t n;
  Divider channels, down, across;    // of the tensor whose elements the threads have

  Plan(const View &large, const View &small, const Window &w, const View &over)
      : w(w), height(int(large.size[2])), width(int(large.size[3])), rows(int(small.size[2])), columns(int(small.size[3])),
        n(over.numel()), channels(uint32_t(over.size[1])), down(uint32_t(over.size[2])), across(uint32_t(over.size[3])) {
    if (n > INT32_MAX || large.numel() > INT32_MAX) fail(CASTOR_SHAPE, "tensors of more than 2^31 elements are too large for pooling");
  }

  struct Place { uint32_t n, c; int y, x; };
  __device__ __forceinline__ Place place(uint32_t i) const {
    const uint32_t row = across.quotient(i), plane = down.quotient(row), n = channels.quotient(plane);
    return {n, plane - n * channels.divisor, int(row - plane * down.divisor), int(i - row * across.divisor)};
  }

  // Calls f(y, x) for the positions in large of a window, in order.
  template <class F> __device__ __forceinline__ void taps(int row, int column, F f) const {
    for (int i = 0, y = row * w.stride_h - w.padding_h; i < w.kernel_h; i++, y += w.dilation_h) {
      if (y < 0 || y >= height) continue;
      for (int j = 0, x = column * w.stride_w - w.padding_w; j < w.kernel_w; j++, x += w.dilation_w)
        if (x >= 0 && x < width) f(y, x);
    }
  }
  // Calls f(row, column) for the windows that contain a position of large, in the order of the taps or in the order of the windows.
  template <class F> __device__ __forceinline__ void windows(int y, int x, bool by_tap, F f) const {
    for (int i = 0; i < w.kernel_h; i++) {
      const int down = y + w.padding_h - (by_tap ? i : w.kernel_h - 1 - i) * w.dilation_h, row = down / w.stride_h;
      if (down < 0 || down % w.stride_h != 0 || row >= rows) continue;
      for (int j = 0; j < w.kernel_w; j++) {
        const int right = x + w.padding_w - (by_tap ? j : w.kernel_w - 1 - j) * w.dilation_w, column = right / w.stride_w;
        if (right >= 0 && right % w.stride_w == 0 && column < columns) f(row, column);
      }
    }
  }

  // The number of taps of a window that an average counts: those inside the input, or those inside the input and its padding.
  __device__ __forceinline__ int counted(int place, int size, int kernel, int step, int padding, int dilation) const {
    int count = 0;
    for (int tap = 0, at = place * step - padding; tap < kernel; tap++, at += dilation)
      count += w.count_padding ? at < size + padding : at >= 0 && at < size;
    return count;
  }
  __device__ __forceinline__ int divisor(int row, int column) const {
    const int count = counted(row, height, w.kernel_h, w.stride_h, w.padding_h, w.dilation_h) *
                      counted(column, width, w.kernel_w, w.stride_w, w.padding_w, w.dilation_w);
    return max(1, count);
  }
};

// Calls f(position of the thread's element, a value of the input's element type), so that the type is known before the loops over a window.
template <class T, class F> __device__ __forceinline__ void for_element(const Plan &plan, DType dtype, F f) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < plan.n) with_input<T>(dtype, [&](auto element) { f(plan.place(uint32_t(i)), element); });
}

template <class T>
__global__ void __launch_bounds__(512, 1) max_pool(const __grid_constant__ Plan plan, Image a, Image out, Image indices) {
  for_element<T>(plan, a.dtype, [&](const Plan::Place &p, auto element) {
    const auto *from = reinterpret_cast<const decltype(element) *>(a.data) + a.plane(p.n, p.c);
    T best = lowest<T>;
    int where = -1;
    plan.taps(p.y, p.x, [&](int y, int x) {
      const T value = convert<T>(from[a.place(y, x)]);
      const bool wins = value > best || value != value || where < 0;
      best = wins ? value : best;
      where = wins ? y * plan.width + x : where;
    });
    store(out.data, out.dtype, out.plane(p.n, p.c) + out.place(p.y, p.x), best);
    reinterpret_cast<int64_t *>(indices.data)[indices.plane(p.n, p.c) + indices.place(p.y, p.x)] = where;
  });
}

template <class T> __global__ void __launch_bounds__(512, 1) avg_pool(const __grid_constant__ Plan plan, Image a, Image out) {
  for_element<T>(plan, a.dtype, [&](const Plan::Place &p, auto element) {
    const auto *from = reinterpret_cast<const decltype(element) *>(a.data) + a.plane(p.n, p.c);
    T sum = 0;
    plan.taps(p.y, p.x, [&](int y, int x) { sum += convert<T>(from[a.place(y, x)]); });
    store(out.data, out.dtype, out.plane(p.n, p.c) + out.place(p.y, p.x), sum / T(plan.divisor(p.y, p.x)));
  });
}

// The gradient of an element is the sum of those of the windows whose maximum it is, added in their order.
template <class T>
__global__ void __launch_bounds__(512, 1)
max_pool_backward(const __grid_constant__ Plan plan, Image grad, Image indices, Image out, Fault *fault) {
  for_element<T>(plan, grad.dtype, [&](const Plan::Place &p, auto element) {
    const auto *from = reinterpret_cast<const decltype(element) *>(grad.data) + grad.plane(p.n, p.c);
    const int64_t where = indices.plane(p.n, p.c), plane = int64_t(plan.height) * plan.width;
    T sum = 0;
    plan.windows(p.y, p.x, false, [&](int row, int column) {
      const int64_t index = reinterpret_cast<const int64_t *>(indices.data)[where + indices.place(row, column)];
      if (index < -1 || index >= plane) checked_index(index < 0 ? index - plane : index, plane, Site::maxPoolBackward, fault);
      if (index == int64_t(p.y) * plan.width + p.x) sum += convert<T>(from[grad.place(row, column)]);
    });
    store(out.data, out.dtype, out.plane(p.n, p.c) + out.place(p.y, p.x), sum);
  });
}

template <class T>
__global__ void __launch_bounds__(512, 1) avg_pool_backward(const __grid_constant__ Plan plan, Image grad, Image out) {
  for_element<T>(plan, grad.dtype, [&](const Plan::Place &p, auto element) {
    const auto *from = reinterpret_cast<const decltype(element) *>(grad.data) + grad.plane(p.n, p.c);
    T sum = 0;
    plan.windows(p.y, p.x, true, [&](int row, int column) {
      sum += convert<T>(from[grad.place(row, column)]) / T(plan.divisor(row, column));
    });
    store(out.data, out.dtype, out.plane(p.n, p.c) + out.place(p.y, p.x), sum);
  });
}

template <class... P, class... A>
void launch_over(Context &context, const char *name, void (*kernel)(Plan, P...), const Plan &plan, A &&...arguments) {
  const int threads = block_threads(256);
  launch(context, name, kernel, blocks_for(plan.n, threads), threads, 0, plan, std::forward<A>(arguments)...);
}

}  // namespace

void pool(int op, const View &a, const View &out, const View *indices, const Window &window) {
  Context &context = context_of(out);
  const Plan plan(a, out, window, out);
  with_compute_type(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (Pool(op) == Pool::max) launch_over(context, "pool", max_pool<T>, plan, Image(a), Image(out), Image(*indices));
    else launch_over(context, "pool", avg_pool<T>, plan, Image(a), Image(out));
  });
}

void pool_backward(int op, const View &grad, const View *indices, const View &out, const Window &window) {
  Context &context = context_of(out);
  const Plan plan(out, grad, window, out);
  with_compute_type(grad.dtype, [&](auto zero) {
    using T = decltype(zero);
    const char *name = "pool_backward";
    if (Pool(op) == Pool::avg) launch_over(context, name, avg_pool_backward<T>, plan, Image(grad), Image(out));
    else launch_over(context, name, max_pool_backward<T>, plan, Image(grad), Image(*indices), Image(out), context.fault);
  });
}

}  // namespace castor::cuda
