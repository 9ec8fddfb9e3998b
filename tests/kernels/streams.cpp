// Threads that use each other's memory. On a GPU each of them has a stream of its own, and the emulator runs streams in random order, so
// that only events give an order.
#include <optional>
#include "harness.h"

namespace tests {
namespace {

constexpr int64_t N = 40'000, TIMES = 20;

int32_t add(const castor_address *v, int a, int b, int out) {
  return castor().binary(castor().op("binary", "add"), v[a], v[b], v[out], 1, 0);
}

// A storage with the same value everywhere, and a view of it.
struct Filled {
  castor_view view{};
  Filled(int32_t device, double value) {
    view.storage = castor().alloc(device, double(N * 4));
    view.rank = 1, view.size[0] = double(N), view.stride[0] = 1, view.dtype = f32;
    castor().fill(address(), value);
  }
  castor_address address() const { return castor_address(reinterpret_cast<uintptr_t>(&view)); }
};

void case_of(const char *name, const std::function<int32_t(Case &c, const castor_address *v, int64_t turn)> &call) {
  check(name, [&](Case &c) {
    c.in_place(f32, {N}, Layout::contiguous, whole(-9, 9));
    c.in_place(f32, {N}, Layout::contiguous, whole(-9, 9));
    c.capturable = false;
    c.run([&](const castor_address *v) {
      for (int64_t i = 0; i < TIMES; i++) {
        if (const int32_t status = call(c, v, i)) return status;
      }
      return int32_t(CASTOR_OK);
    });
  });
}

const Kind streams("streams", [] {
  case_of("threads in turn", [](Case &, const castor_address *v, int64_t) {
    const int32_t status = on_another_thread([&] { return add(v, 1, 0, 1); });
    return status ? status : castor().unary(castor().op("unary", "neg"), v[1], v[1], 0, 0);
  });
  case_of("memory that is freed while another thread's work uses it", [](Case &c, const castor_address *v, int64_t) {
    Filled ones(c.device, 1);
    const castor_address addresses[] = {v[1], ones.address()};
    const int32_t status = on_another_thread([&] { return add(addresses, 0, 1, 0); });
    castor().free(ones.view.storage);
    Filled again(c.device, 100);  // most likely at the same address
    castor().free(again.view.storage);
    return status;
  });
  case_of("memory that another thread frees", [](Case &c, const castor_address *v, int64_t) {
    Filled ones(c.device, 1);
    const castor_address addresses[] = {v[1], ones.address()};
    const int32_t status = add(addresses, 0, 1, 0);
    on_another_thread([&] { return castor().free(ones.view.storage); });
    Filled again(c.device, 100);
    castor().free(again.view.storage);
    return status;
  });
  case_of("memory that is freed while a graph of another thread uses it", [](Case &c, const castor_address *v, int64_t) {
    std::optional<Filled> ones;
    on_another_thread([&] { return ones.emplace(c.device, 1), CASTOR_OK; });
    const castor_address addresses[] = {v[1], ones->address()};
    if (castor().capture_begin(c.device, 0, 0) != CASTOR_OK) return castor().last_status();
    add(addresses, 0, 1, 0);
    const castor_handle graph = castor().capture_end(c.device);
    const int32_t status = on_another_thread([&] {
      const int32_t replay = castor().graph_replay(graph, 0, 0);
      castor().free(ones->view.storage);
      Filled again(c.device, 100);
      castor().free(again.view.storage);
      return replay;
    });
    castor().graph_free(graph);
    return status;
  });
  case_of("a graph that another thread replays", [](Case &c, const castor_address *v, int64_t turn) {
    if (castor().capture_begin(c.device, 0, 0) != CASTOR_OK) return castor().last_status();
    add(v, 1, 0, 1);
    const castor_handle graph = castor().capture_end(c.device);
    const int32_t status = on_another_thread([&] {
      castor().fill(v[0], double(turn));
      const int32_t replay = castor().graph_replay(graph, 0, 0);
      return replay ? replay : add(v, 1, 1, 1);
    });
    castor().graph_free(graph);
    return status;
  });
  // The graph doubles v[0] into memory of its own, which another thread adds to v[1] after each replay.
  case_of("the output of a graph that another thread reads between replays", [](Case &c, const castor_address *v, int64_t) {
    if (castor().capture_begin(c.device, 0, 0) != CASTOR_OK) return castor().last_status();
    Filled made(c.device, 0);
    const castor_address addresses[] = {v[0], made.address(), v[1]};
    add(addresses, 0, 0, 1);
    const castor_handle graph = castor().capture_end(c.device);
    int32_t status = castor().last_status();
    for (int i = 0; i < 3 && status == CASTOR_OK; i++) {
      status = castor().graph_replay(graph, 0, 0);
      if (status == CASTOR_OK) status = on_another_thread([&] { return add(addresses, 2, 1, 2); });
      if (status == CASTOR_OK) status = castor().unary(castor().op("unary", "neg"), v[0], v[0], 0, 0);
    }
    castor().free(made.view.storage);
    castor().graph_free(graph);
    return status;
  });
});

}  // namespace
}  // namespace tests
