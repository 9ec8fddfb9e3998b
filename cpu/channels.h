// The planes (n, c) of views (N, C, L), in the order in which batchNorm and groupNorm visit them.
#pragma once
#include <optional>
#include "../kernels/ops.h"
#include "rows.h"

namespace castor::CASTOR_ISA {

// The planes that share statistics, and the planes of one task: one channel of the whole batch (batchNorm), or a group of channels of
// one sample (groupNorm). Planes shorter than SHORT are worked on side by side: a task then takes several channels, and the planes that it
// has of one sample form a row.
struct Channels {
  static constexpr int64_t SHORT = 32, ROW = 128;  // elements
  const int64_t samples, channels, length;
  const bool batch;
  const int64_t group;  // number of channels that share statistics
  const int64_t wide;   // number of channels of a task

  Channels(BatchGroupNorm op, const View &a, int groups)
      : samples(a.size[0]), channels(a.size[1]), length(a.size[2]), batch(op != BatchGroupNorm::groupNorm),
        group(batch ? 1 : channels / groups), wide(batch && side_by_side() ? std::min(channels, ROW / length) : group) {}

  bool side_by_side() const { return length < SHORT; }
  int64_t shared() const { return (batch ? samples : group) * length; }  // number of elements that one mean is taken over
  int64_t set_of(int64_t n, int64_t c) const { return batch ? c : (n * channels + c) / group; }

  struct Task { int64_t first_n, end_n, first_c, end_c; };
  template <class F> void each_task(F f) const {
    const int64_t across = (channels + wide - 1) / wide, elements = (batch ? samples : 1) * wide * length;
    parallel_for(batch ? across : samples * across, std::max<int64_t>(1, GRAIN / elements), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t n = i / across, c = i % across * wide, end_c = std::min(channels, c + wide);
        f(batch ? Task{0, samples, c, end_c} : Task{n, n + 1, c, end_c});
      }
    });
  }
};

// Whether the planes of a sample lie one behind the other in memory.
inline bool rows_of_planes(const View &v) { return v.stride[1] == v.size[2] && (v.stride[2] == 1 || v.size[2] == 1); }

// The planes of a task as elements of type T, which is the compute type, or BFloat for views that are bfloat16. Where they are contiguous
// and of type T they are used in place, else they are loaded into scratch memory.
template <class T> class Planes {
 public:
  // in_rows: the planes of one sample have to be contiguous.
  Planes(const View &v, const Channels::Task &task, bool in_rows) : task_(task), step_n_(v.stride[0]), step_c_(v.stride[1]) {
    const int64_t length = v.size[2], across = task.end_c - task.first_c;
    const bool rows = rows_of_planes(v), planes = v.stride[2] == 1 || length == 1;
    if (v.dtype == dtype_of<T> && (in_rows ? rows : planes)) {
      data_ = reinterpret_cast<const T *>(at(v, task.first_n * step_n_ + task.first_c * step_c_));
      return;
    }
    T *to = scratch_.emplace((task.end_n - task.first_n) * across * length);
    data_ = to;
    const Loader<T> load = loader<T>(v.dtype);
    for (int64_t n = task.first_n; n < task.end_n; n++)
      for (int64_t c = task.first_c; c < task.end_c; c += rows ? across : 1) {
        const int64_t run = rows ? across * length : length;
        load(to, at(v, n * v.stride[0] + c * v.stride[1]), rows ? 1 : v.stride[2], run);
        to += run;
      }
    step_n_ = across * length;
    step_c_ = length;
  }
  const T *operator()(int64_t n, int64_t c) const {
    return data_ + (n - task_.first_n) * step_n_ + (c - task_.first_c) * step_c_;
  }
  const T *row(int64_t n) const { return data_ + (n - task_.first_n) * step_n_; }

 private:
  const Channels::Task task_;
  int64_t step_n_, step_c_;
  const T *data_;
  std::optional<Scratch<T>> scratch_;
};

// Computes the planes that a task has of one channel of an output, with make(y, n).
template <class T, class Make> void make_planes(const View &out, const Channels::Task &task, int64_t c, T *scratch, Make make) {
  for (int64_t n = task.first_n; n < task.end_n; n++) {
    const int64_t offset = n * out.stride[0] + c * out.stride[1];
    T *y = output_run(scratch, out, offset, out.stride[2]);
    make(y, n);
    close_run(y, scratch, out, offset, out.stride[2], out.size[2]);
  }
}

// Computes the rows of a task of an output.
template <class T, class Make> void make_rows(const View &out, const Channels::Task &task, T *scratch, Make make) {
  const int64_t length = out.size[2], across = task.end_c - task.first_c;
  const bool rows = rows_of_planes(out);
  for (int64_t n = task.first_n; n < task.end_n; n++) {
    const int64_t offset = n * out.stride[0] + task.first_c * out.stride[1];
    T *y = rows ? output_run(scratch, out, offset, 1) : scratch;
    make(y, n);
    if (rows) close_run(y, scratch, out, offset, 1, across * length);
    else
      for (int64_t c = 0; c < across; c++) store_run(out, offset + c * out.stride[1], out.stride[2], y + c * length, length);
  }
}

// One value for each channel, from a view that may be absent, or one for each element of a row of short planes.
template <class T> class PerChannel {
 public:
  PerChannel(const View *view, T otherwise, const Channels &channels)
      : repeat_(channels.side_by_side() ? channels.length : 1), values_(channels.channels * repeat_) {
    const int64_t n = channels.channels;
    T *const values = values_;
    if (view) load_run(values, *view, 0, view->stride[0], n);
    else fill_tile(values, otherwise, n);
    for (int64_t c = n - 1; c > 0; c--) fill_tile(values + c * repeat_, values[c], repeat_);
    fill_tile(values, values[0], repeat_);
  }
  T operator[](int64_t c) const { return values_[c * repeat_]; }
  const T *row(int64_t c) const { return values_ + c * repeat_; }

 private:
  const int64_t repeat_;
  Scratch<T> values_;
};

}  // namespace castor::CASTOR_ISA
