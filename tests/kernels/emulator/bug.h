// Kernels with a bug that can be switched on. Without it, a kernel must run without errors in every order of the threads; with it, the
// emulator must find the bug.
//
// Each run is a process of its own, because AddressSanitizer ends the process in which it finds something.
#pragma once
#include <functional>
#include <string>
#include <vector>
#include "../../../cuda/gpu.h"

namespace tests {

// The text that each build prints, in a report or when its process ends, if it finds the bug. WRONG: the bug shows as a wrong result.
// UNSEEN: this build cannot find it.
constexpr const char *UNSEEN = nullptr, *WRONG = "";
struct FoundBy { const char *emulated, *asan, *race; };

// Runs a kernel, with its bug or without, and returns whether the result is right.
using Body = std::function<bool(bool with_bug)>;

struct Bug {
  Bug(const char *name, FoundBy found_by, Body body);
};
// Something that must work, or be refused, without a bug in a kernel.
struct Works {
  Works(const char *name, std::function<bool()> body);
};

template <class T> class Buffer {
 public:
  explicit Buffer(size_t count, T value = T()) : Buffer(std::vector<T>(count, value)) {}
  explicit Buffer(const std::vector<T> &from) : count_(from.size()) {
    cudaMalloc(reinterpret_cast<void **>(&data_), bytes());
    cudaMemcpy(data_, from.data(), bytes(), cudaMemcpyHostToDevice);
  }
  ~Buffer() { cudaFree(data_); }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  T *data() const { return data_; }
  size_t bytes() const { return count_ * sizeof(T); }
  std::vector<T> read() const {
    std::vector<T> to(count_);
    cudaMemcpy(to.data(), data_, bytes(), cudaMemcpyDeviceToHost);
    return to;
  }

 private:
  size_t count_;
  T *data_ = nullptr;
};

template <class... P, class... A> void run(void (*kernel)(P...), int blocks, int threads, size_t shared, A &&...arguments) {
  gpu::launch("test", kernel, dim3(unsigned(blocks)), dim3(unsigned(threads)), shared, nullptr, std::forward<A>(arguments)...);
}

}  // namespace tests
