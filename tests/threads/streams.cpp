// Threads that use streams of the CPU at the same time, for ThreadSanitizer: each computes on storages of its own and on one that all read,
// with reads, writes, frees, cancelled streams and calls that run at once in between. All rounds must give the same bits.
#include <unistd.h>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <thread>
#include <vector>
#include "../../abi/castor.h"

namespace {

constexpr int SIDE = 8, ELEMENTS = SIDE * SIDE, BYTES = 4 * ELEMENTS, ROUNDS = 400, THREADS = 4;
std::atomic<int> failures{0};

void expect(bool holds, const char *what) {
  if (holds) return;
  std::printf("failed: %s: %s\n", what, castor_last_error());
  failures++;
}
void expect_ok(int32_t status, const char *what) { expect(status == CASTOR_OK, what); }

castor_view matrix(castor_handle storage) {
  castor_view view{};
  view.storage = storage;
  view.dtype = CASTOR_FLOAT32;
  view.rank = 2;
  view.size[0] = view.size[1] = view.stride[0] = SIDE;
  view.stride[1] = 1;
  return view;
}
castor_address address(const castor_view &view) { return castor_address(reinterpret_cast<uintptr_t>(&view)); }

// Waits until this thread has been told an id. News of other ids may come before.
void wait_for(double id) {
  thread_local std::set<double> told;
  while (told.erase(id) == 0) {
    const double next = castor_next_done();
    next == 0 ? void(usleep(20)) : void(told.insert(next));
  }
}

// A chain of products and sums from x, whose intermediate results are freed before they are computed.
castor_handle chain(castor_handle x) {
  castor_handle y = castor_flat_unary(0, CASTOR_FLOAT32, ELEMENTS, x, 0, 0);
  expect(y != 0, "flat_unary");
  for (int i = 0; i < 20; i++) {
    const castor_handle z = castor_alloc(CASTOR_CPU, BYTES);
    const castor_view a = matrix(y), b = matrix(x), c = matrix(z);
    expect_ok(i % 3 == 0 ? castor_matmul(address(a), address(b), 0, address(c), 0)
                         : castor_binary(0, address(a), address(b), address(c), 1, 1), "a call");
    expect_ok(castor_free(y), "free");
    y = z;
  }
  return y;
}

void work(castor_handle shared) {
  const std::vector<float> values(ELEMENTS, 0.01f);
  const castor_handle x = castor_alloc(CASTOR_CPU, BYTES);
  expect_ok(castor_write(x, 0, values.data(), BYTES), "write");
  float first[ELEMENTS], now[ELEMENTS];
  bool known = false;
  double id = 0;
  for (int round = 0; round < ROUNDS && failures == 0; round++) {
    const castor_handle stream = castor_stream_begin(round % 3);
    expect_ok(castor_stream_use(stream), "stream_use");
    const castor_handle y = chain(x), z = chain(shared);
    const double read = ++id, end = ++id;
    expect_ok(castor_read_start(y, 0, BYTES, read), "read_start");
    if (round % 5 == 0) expect_ok(castor_write(x, 0, values.data(), BYTES), "a write behind reads");
    expect_ok(castor_stream_use(0), "stream_use");
    const bool cancelled = round % 7 == 3;
    if (cancelled) expect_ok(castor_stream_cancel(stream), "stream_cancel");
    else if (round % 4 == 1) {
      const castor_view a = matrix(z), b = matrix(x);
      expect_ok(castor_binary(0, address(a), address(b), address(a), 1, 1), "a call that waits");
    }
    expect_ok(castor_free(z), "free");
    expect_ok(castor_stream_notify(stream, end), "stream_notify");
    wait_for(read);
    const int32_t status = castor_read_finish(read, now);
    if (status == CASTOR_OK) {
      expect(!known || std::memcmp(first, now, BYTES) == 0, "the same bits");
      std::memcpy(first, now, BYTES);
      known = true;
    } else expect(cancelled && status == CASTOR_ABORTED, "read_finish");
    wait_for(end);
    castor_stream_end(stream);
    expect_ok(castor_free(y), "free");
  }
  expect_ok(castor_free(x), "free");
}

}  // namespace

int main() {
  castor_set_threads(2);
  const castor_handle shared = castor_alloc(CASTOR_CPU, BYTES);
  const castor_view view = matrix(shared);
  expect_ok(castor_fill(address(view), 0.02), "fill");
  std::vector<std::thread> threads;
  for (int i = 0; i < THREADS; i++) threads.emplace_back(work, shared);
  for (std::thread &thread : threads) thread.join();
  std::printf("%d passed, %d failed\n", failures == 0, failures != 0);
  return failures != 0;
}
