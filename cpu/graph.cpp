// Graph capture on the CPU. A table of kernels records each call, with copies of its arguments that live as long as the graph, and a
// replay makes the calls again in order.
#include "graph.h"
#include <cstring>
#include <tuple>
#include "../kernels/table.h"
#include "backend.h"
#include "memory.h"

namespace castor {
namespace {

struct Step {
  virtual ~Step() = default;
  virtual void run(const Backend &kernels, const Draw &draw) = 0;
};

template <class Call> struct StepOf final : Step {
  Call call;
  explicit StepOf(Call &&call) : call(std::move(call)) {}
  void run(const Backend &kernels, const Draw &draw) override { call(kernels, draw); }
};

using Steps = std::vector<std::unique_ptr<Step>>;

// ---- copies of arguments that live as long as the graph --------------------------------------------------------

class Views {
 public:
  Views(const View *from, int64_t count = 1) : views_(from ? new View[size_t(count)] : nullptr) {
    for (int64_t i = 0; from && i < count; i++) {
      View &to = views_[size_t(i)];
      std::memcpy(static_cast<void *>(&to), &from[i], sizeof to);
      if (to.constant) to.data = to.value;
    }
  }
  const View *get() const { return views_.get(); }

 private:
  std::unique_ptr<View[]> views_;
};

template <class T> struct Saved {
  T value;
  T get() const { return value; }
};
template <class T> struct Saved<const T &> {
  T value;
  const T &get() const { return value; }
};
template <> struct Saved<const View &> {
  Views views;
  Saved(const View &view) : views(&view) {}
  const View &get() const { return *views.get(); }
};
template <> struct Saved<const View *> {
  Views views;
  Saved(const View *view) : views(view) {}
  const View *get() const { return views.get(); }
};

// ---- the table of kernels that records its calls ---------------------------------------------------------------

thread_local Steps *recording = nullptr;

template <class Call> void record(Call &&call) { recording->push_back(std::make_unique<StepOf<Call>>(std::move(call))); }

template <auto Kind> struct Recorder;
template <class... A, void (*Backend::*Kind)(A...)> struct Recorder<Kind> {
  static void call(A... arguments) {
    record([saved = std::tuple<Saved<A>...>(Saved<A>{arguments}...)](const Backend &kernels, const Draw &) {
      std::apply([&](const auto &...argument) { (kernels.*Kind)(argument.get()...); }, saved);
    });
  }
};

void random(int op, const View &out, uint64_t, uint64_t offset, double p0, double p1) {
  record([=, out = Views(&out)](const Backend &kernels, const Draw &draw) {
    kernels.random(op, *out.get(), draw.seed, offset + draw.added, p0, p1);
  });
}

void dropout(const View &a, const View &out, double p, uint64_t, uint64_t offset) {
  record([=, a = Views(&a), out = Views(&out)](const Backend &kernels, const Draw &draw) {
    kernels.dropout(*a.get(), *out.get(), p, draw.seed, offset + draw.added);
  });
}

void multi_unscale(const View *lists, int count, const View &inverse_scale, const View &found_inf) {
  record([=, lists = Views(lists, count), scale = Views(&inverse_scale), found = Views(&found_inf)](const Backend &kernels, const Draw &) {
    kernels.multi_unscale(lists.get(), count, *scale.get(), *found.get());
  });
}

void multi_norm(const View *lists, int count, const View &out, double p) {
  record([=, lists = Views(lists, count), out = Views(&out)](const Backend &kernels, const Draw &) {
    kernels.multi_norm(lists.get(), count, *out.get(), p);
  });
}

void multi_scale(const View *lists, int count, const View &factor) {
  record([=, lists = Views(lists, count), factor = Views(&factor)](const Backend &kernels, const Draw &) {
    kernels.multi_scale(lists.get(), count, *factor.get());
  });
}

void multi_sgd(const View *lists, int count, const Sgd &hyper, const View *learning_rate, const View *found_inf) {
  const int of_each = hyper.momentum != 0 ? 4 : 3;
  record([=, lists = Views(lists, of_each * count), rate = Views(learning_rate),
          found = Views(found_inf)](const Backend &kernels, const Draw &) {
    kernels.multi_sgd(lists.get(), count, hyper, rate.get(), found.get());
  });
}

void multi_adam(const View *lists, int count, const Adam &hyper, const View *learning_rate, const View *found_inf) {
  const int of_each = hyper.amsgrad != 0 ? 6 : 5;
  record([=, lists = Views(lists, of_each * count), rate = Views(learning_rate),
          found = Views(found_inf)](const Backend &kernels, const Draw &) {
    kernels.multi_adam(lists.get(), count, hyper, rate.get(), found.get());
  });
}

const Backend &recorder() {
  static const Backend table = [] {
#define CASTOR_RECORDER(name) .name = Recorder<&Backend::name>::call,
    Backend t = {CASTOR_KERNELS(CASTOR_RECORDER)};
#undef CASTOR_RECORDER
#define CASTOR_BY_HAND(name) t.name = name;
    CASTOR_BY_HAND(random) CASTOR_BY_HAND(dropout) CASTOR_BY_HAND(multi_unscale) CASTOR_BY_HAND(multi_norm) CASTOR_BY_HAND(multi_scale)
    CASTOR_BY_HAND(multi_sgd) CASTOR_BY_HAND(multi_adam)
#undef CASTOR_BY_HAND
    return t;
  }();
  return table;
}

// ---- captures and graphs ---------------------------------------------------------------------------------------

struct HostSegments final : MemoryPool::Source {
  void *map(int64_t bytes) override { return allocate(bytes); }
  void unmap(void *data, int64_t bytes) override { release(data, bytes); }
} segments;

class CpuGraph final : public Graph {
 public:
  CpuGraph(Capture &capture, const Backend &kernels, Steps steps) : Graph(capture), kernels_(kernels), steps_(std::move(steps)) {}

 private:
  const Backend &kernels_;
  const Steps steps_;

  void run(const Draw &draw) override {
    for (const auto &step : steps_) step->run(kernels_, draw);
  }
};

class CpuCapture final : public Capture {
 public:
  CpuCapture(Device &cpu, uint64_t seed, uint64_t offset) : Capture(cpu, segments, 0, seed, offset) { recording = &steps_; }
  ~CpuCapture() override { recording = nullptr; }
  const Backend &kernels() override { return recorder(); }
  std::shared_ptr<Graph> end() override { return std::make_shared<CpuGraph>(*this, *device.kernels.load(), std::move(steps_)); }

 private:
  Steps steps_;
};

}  // namespace

std::unique_ptr<Capture> begin_cpu_capture(Device &cpu, uint64_t seed, uint64_t offset) {
  return std::make_unique<CpuCapture>(cpu, seed, offset);
}

}  // namespace castor
