// max and average pooling of planes (H, W), and their gradients. For each tap of the window, all outputs that see the input through it
// form runs, which vectorise. Planes are distributed over the threads.
#include "../kernels/table.h"
#include "scratch.h"
#include "threads.h"
#include "tile.h"
#include "window.h"
#include "../kernels/ops.h"

namespace castor::CASTOR_ISA {
namespace {

constexpr int64_t GRAIN = 1 << 15;  // taps of one chunk

// Loads a plane (n, c) of a view (N, C, H, W), row by row.
template <class T> void load_plane(T *to, const View &v, int64_t plane) {
  for (int64_t y = 0; y < v.size[2]; y++) {
    const int64_t offset = plane / v.size[1] * v.stride[0] + plane % v.size[1] * v.stride[1] + y * v.stride[2];
    load(to + y * v.size[3], at(v, offset), v.dtype, v.stride[3], v.size[3]);
  }
}

template <class T> void store_plane(const T *from, const View &v, int64_t plane) {
  for (int64_t y = 0; y < v.size[2]; y++) {
    const int64_t offset = plane / v.size[1] * v.stride[0] + plane % v.size[1] * v.stride[1] + y * v.stride[2];
    store(at(v, offset), v.dtype, v.stride[3], from + y * v.size[3], v.size[3]);
  }
}

// Pooling from `large` (H, W), the input, to `small` (oH, oW), the output.
struct Plan {
  const Window &w;
  int64_t height, width, rows, columns;

  Plan(const View &large, const View &small, const Window &w)
      : w(w), height(large.size[2]), width(large.size[3]), rows(small.size[2]), columns(small.size[3]) {}
  int64_t grain() const {
    return std::max<int64_t>(1, GRAIN / std::max<int64_t>(1, rows * columns * w.kernel_h * w.kernel_w + height * width));
  }
  Axis tap_y(int64_t i) const { return {i * w.dilation_h - w.padding_h, w.stride_h, rows, height}; }
  Axis tap_x(int64_t j) const { return {j * w.dilation_w - w.padding_w, w.stride_w, columns, width}; }

  // Calls body(first output, first input, outputs) for each run of outputs that read the input through one tap.
  template <class Body> void runs(Body body) const {
    for (int64_t i = 0; i < w.kernel_h; i++)
      for (int64_t j = 0; j < w.kernel_w; j++) {
        const Axis y = tap_y(i), x = tap_x(j);
        if (x.begin == x.end) continue;
        for (int64_t r = y.begin; r < y.end; r++)
          body(r * columns + x.begin, (r * w.stride_h + y.shift) * width + x.begin * w.stride_w + x.shift, x.end - x.begin);
      }
  }

  // The number of taps of each window that an average counts: those inside the input, or those inside the input and its padding.
  static void count(int64_t *to, int64_t places, int64_t size, int64_t kernel, int64_t step, int64_t padding, int64_t dilation,
                    bool padded) {
    for (int64_t i = 0; i < places; i++) {
      to[i] = 0;
      for (int64_t tap = 0; tap < kernel; tap++) {
        int64_t at = i * step - padding + tap * dilation;
        to[i] += padded ? at < size + padding : at >= 0 && at < size;
      }
    }
  }
  template <class T> void divisors(T *to) const {
    Scratch<int64_t> y(rows), x(columns);
    count(y, rows, height, w.kernel_h, w.stride_h, w.padding_h, w.dilation_h, w.count_padding);
    count(x, columns, width, w.kernel_w, w.stride_w, w.padding_w, w.dilation_w, w.count_padding);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < columns; c++) to[r * columns + c] = T(std::max<int64_t>(1, y[r] * x[c]));
  }
};

template <class T> void max_pool(const View &a, const View &out, const View &indices, const Window &window) {
  const Plan plan(a, out, window);
  const int64_t in = plan.height * plan.width, places = plan.rows * plan.columns;
  parallel_for(out.size[0] * out.size[1], plan.grain(), [&](int64_t begin, int64_t end) {
    Scratch<T> plane(in), best(places);
    Scratch<int64_t> where(places);
    for (int64_t p = begin; p < end; p++) {
      load_plane<T>(plane, a, p);
      std::fill_n(static_cast<T *>(best), places, std::is_integral_v<T> ? std::numeric_limits<T>::min()
                  : -std::numeric_limits<T>::infinity());
      std::fill_n(static_cast<int64_t *>(where), places, -1);
      plan.runs([&](int64_t to, int64_t from, int64_t n) {
        for (int64_t x = 0; x < n; x++) {
          const T value = plane[from + x * window.stride_w];
          const bool wins = value > best[to + x] || value != value || where[to + x] < 0;
          best[to + x] = wins ? value : best[to + x];
          where[to + x] = wins ? from + x * window.stride_w : where[to + x];
        }
      });
      store_plane<T>(best, out, p);
      store_plane<int64_t>(where, indices, p);
    }
  });
}

template <class T> void avg_pool(const View &a, const View &out, const Window &window) {
  const Plan plan(a, out, window);
  const int64_t places = plan.rows * plan.columns;
  Scratch<T> divisor(places);
  plan.divisors<T>(divisor);
  parallel_for(out.size[0] * out.size[1], plan.grain(), [&](int64_t begin, int64_t end) {
    Scratch<T> plane(plan.height * plan.width), sum(places);
    for (int64_t p = begin; p < end; p++) {
      load_plane<T>(plane, a, p);
      std::fill_n(static_cast<T *>(sum), places, T(0));
      plan.runs([&](int64_t to, int64_t from, int64_t n) {
        for (int64_t x = 0; x < n; x++) sum[to + x] += plane[from + x * window.stride_w];
      });
      for (int64_t x = 0; x < places; x++) sum[x] /= divisor[x];
      store_plane<T>(sum, out, p);
    }
  });
}

template <class T> void max_pool_backward(const View &grad, const View &indices, const View &out, const Window &window) {
  const Plan plan(out, grad, window);
  const int64_t in = plan.height * plan.width, places = plan.rows * plan.columns;
  parallel_for(out.size[0] * out.size[1], plan.grain(), [&](int64_t begin, int64_t end) {
    Scratch<T> sum(in), from(places);
    Scratch<int64_t> where(places);
    for (int64_t p = begin; p < end; p++) {
      load_plane<T>(from, grad, p);
      load_plane<int64_t>(where, indices, p);
      std::fill_n(static_cast<T *>(sum), in, T(0));
      for (int64_t x = 0; x < places; x++) {
        if (where[x] < -1 || where[x] >= in)
          fail(CASTOR_INDEX, "pool: index %lld is outside a plane of %lld", (long long)where[x], (long long)in);
        if (where[x] >= 0) sum[where[x]] += from[x];
      }
      store_plane<T>(sum, out, p);
    }
  });
}

template <class T> void avg_pool_backward(const View &grad, const View &out, const Window &window) {
  const Plan plan(out, grad, window);
  const int64_t in = plan.height * plan.width, places = plan.rows * plan.columns;
  Scratch<T> divisor(places);
  plan.divisors<T>(divisor);
  parallel_for(out.size[0] * out.size[1], plan.grain(), [&](int64_t begin, int64_t end) {
    Scratch<T> sum(in), share(places);
    for (int64_t p = begin; p < end; p++) {
      load_plane<T>(share, grad, p);
      for (int64_t x = 0; x < places; x++) share[x] /= divisor[x];
      std::fill_n(static_cast<T *>(sum), in, T(0));
      plan.runs([&](int64_t from, int64_t to, int64_t n) {
        for (int64_t x = 0; x < n; x++) sum[to + x * window.stride_w] += share[from + x];
      });
      store_plane<T>(sum, out, p);
    }
  });
}

}  // namespace

void pool(int op, const View &a, const View &out, const View *indices, const Window &window) {
  with_compute_type(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (Pool(op) == Pool::max) max_pool<T>(a, out, *indices, window);
    else avg_pool<T>(a, out, window);
  });
}

void pool_backward(int op, const View &grad, const View *indices, const View &out, const Window &window) {
  with_compute_type(grad.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (Pool(op) == Pool::max) max_pool_backward<T>(grad, *indices, out, window);
    else avg_pool_backward<T>(grad, out, window);
  });
}

}  // namespace castor::CASTOR_ISA
