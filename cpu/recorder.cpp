// The table of kernels that records the calls of a thread instead of running them.
#include "recorder.h"
#include <cstring>
#include <tuple>
#include <utility>
#include "../abi/deferred.h"
#include "../kernels/table.h"

namespace castor {
namespace {

template <class Call> struct StepOf final : Step {
  Call call;
  StepOf(const char *kind, int op, Call &&call) : Step(kind, op), call(std::move(call)) {}
  void run(const Backend &kernels, const Draw &draw) override { call(kernels, draw); }
};

// ---- copies of arguments that live as long as the recording ----------------------------------------------------

class Views {
 public:
  Views(const View *from, int64_t count = 1) : views_(from ? new View[size_t(count)] : nullptr) {
    for (int64_t i = 0; from && i < count; i++) {
      View &to = views_[size_t(i)];
      std::memcpy(static_cast<void *>(&to), &from[i], sizeof to);
      if (to.constant) to.data = to.value;
      if (to.deferred) deferred_ = i + 1;
    }
  }
  const View *get() const {
    for (int64_t i = 0; i < deferred_; i++) place(views_[size_t(i)]);
    return views_.get();
  }

 private:
  std::unique_ptr<View[]> views_;
  int64_t deferred_ = 0;  // the views up to here may still be offsets into memory that exists only when the call runs
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

template <auto Kind> constexpr const char *name_of_kind = nullptr;
#define CASTOR_NAME(name) template <> constexpr const char *name_of_kind<&Backend::name> = #name;
CASTOR_KERNELS(CASTOR_NAME)
#undef CASTOR_NAME

template <auto Kind, class Call> void record(Call &&call, int op = -1) {
  recording->add(std::make_unique<StepOf<Call>>(name_of_kind<Kind>, op, std::move(call)));
}

// The first argument is the number of the op, where a kind has ops.
template <class... A> int op_of(int op, const A &...) { return op; }
template <class... A> int op_of(const A &...) { return -1; }

template <auto Kind> struct Recorder;
template <class... A, void (*Backend::*Kind)(A...)> struct Recorder<Kind> {
  static void call(A... arguments) {
    record<Kind>([saved = std::tuple<Saved<A>...>(Saved<A>{arguments}...)](const Backend &kernels, const Draw &) {
      std::apply([&](const auto &...argument) { (kernels.*Kind)(argument.get()...); }, saved);
    }, op_of(arguments...));
  }
};

void random(int op, const View &out, uint64_t seed, uint64_t offset, double p0, double p1) {
  record<&Backend::random>([=, out = Views(&out)](const Backend &kernels, const Draw &draw) {
    kernels.random(op, *out.get(), draw.seed_for(seed), offset + draw.added, p0, p1);
  }, op);
}

void dropout(const View &a, const View &out, double p, uint64_t seed, uint64_t offset) {
  record<&Backend::dropout>([=, a = Views(&a), out = Views(&out)](const Backend &kernels, const Draw &draw) {
    kernels.dropout(*a.get(), *out.get(), p, draw.seed_for(seed), offset + draw.added);
  });
}

Dropping drawn(const Dropping &recorded, const Draw &draw) {
  return {recorded.p, draw.seed_for(recorded.seed), recorded.offset + draw.added};
}

void attention(const View &q, const View &k, const View &v, const View *mask, const View &out, const View &logsumexp, double scale,
               bool causal, const Dropping &dropping) {
  record<&Backend::attention>([=, q = Views(&q), k = Views(&k), v = Views(&v), mask = Views(mask), out = Views(&out),
                               logsumexp = Views(&logsumexp)](const Backend &kernels, const Draw &draw) {
    kernels.attention(*q.get(), *k.get(), *v.get(), mask.get(), *out.get(), *logsumexp.get(), scale, causal, drawn(dropping, draw));
  });
}

void attention_backward(const View &grad, const View &q, const View &k, const View &v, const View *mask, const View &out,
                        const View &logsumexp, const View &grad_q, const View &grad_k, const View &grad_v, double scale, bool causal,
                        const Dropping &dropping) {
  record<&Backend::attention_backward>([=, grad = Views(&grad), q = Views(&q), k = Views(&k), v = Views(&v), mask = Views(mask),
                                        out = Views(&out), logsumexp = Views(&logsumexp), grad_q = Views(&grad_q),
                                        grad_k = Views(&grad_k), grad_v = Views(&grad_v)](const Backend &kernels, const Draw &draw) {
    kernels.attention_backward(*grad.get(), *q.get(), *k.get(), *v.get(), mask.get(), *out.get(), *logsumexp.get(), *grad_q.get(),
                               *grad_k.get(), *grad_v.get(), scale, causal, drawn(dropping, draw));
  });
}

void multi_unscale(const View *lists, int count, const View &inverse_scale, const View &found_inf) {
  record<&Backend::multi_unscale>([=, lists = Views(lists, count), scale = Views(&inverse_scale),
                                   found = Views(&found_inf)](const Backend &kernels, const Draw &) {
    kernels.multi_unscale(lists.get(), count, *scale.get(), *found.get());
  });
}

void multi_norm(const View *lists, int count, const View &out, double p) {
  record<&Backend::multi_norm>([=, lists = Views(lists, count), out = Views(&out)](const Backend &kernels, const Draw &) {
    kernels.multi_norm(lists.get(), count, *out.get(), p);
  });
}

void multi_scale(const View *lists, int count, const View &factor) {
  record<&Backend::multi_scale>([=, lists = Views(lists, count), factor = Views(&factor)](const Backend &kernels, const Draw &) {
    kernels.multi_scale(lists.get(), count, *factor.get());
  });
}

void multi_sgd(const View *lists, int count, const Sgd &hyper, const View *learning_rate, const View *found_inf) {
  const int of_each = hyper.momentum != 0 ? 4 : 3;
  record<&Backend::multi_sgd>([=, lists = Views(lists, of_each * count), rate = Views(learning_rate),
                               found = Views(found_inf)](const Backend &kernels, const Draw &) {
    kernels.multi_sgd(lists.get(), count, hyper, rate.get(), found.get());
  });
}

void multi_adam(const View *lists, int count, const Adam &hyper, const View *learning_rate, const View *found_inf) {
  const int of_each = hyper.amsgrad != 0 ? 6 : 5;
  record<&Backend::multi_adam>([=, lists = Views(lists, of_each * count), rate = Views(learning_rate),
                                found = Views(found_inf)](const Backend &kernels, const Draw &) {
    kernels.multi_adam(lists.get(), count, hyper, rate.get(), found.get());
  });
}

}  // namespace

thread_local Recording *recording = nullptr;

const Backend &recorder() {
  static const Backend table = [] {
#define CASTOR_RECORDER(name) .name = Recorder<&Backend::name>::call,
    Backend t = {CASTOR_KERNELS(CASTOR_RECORDER)};
#undef CASTOR_RECORDER
#define CASTOR_BY_HAND(name) t.name = name;
    CASTOR_BY_HAND(random) CASTOR_BY_HAND(dropout) CASTOR_BY_HAND(attention) CASTOR_BY_HAND(attention_backward)
    CASTOR_BY_HAND(multi_unscale) CASTOR_BY_HAND(multi_norm) CASTOR_BY_HAND(multi_scale) CASTOR_BY_HAND(multi_sgd)
    CASTOR_BY_HAND(multi_adam)
#undef CASTOR_BY_HAND
    return t;
  }();
  return table;
}

}  // namespace castor
