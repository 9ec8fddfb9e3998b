// The results of the wrappers in gpu.h, as lines of text. The program is compiled by g++ with the emulator and by nvcc, and both must print
// the same lines. In this way the emulation of each instruction is compared with the instruction.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#include "../../../cuda/gpu.h"

namespace conformance {

constexpr int THREADS = 64;  // two warps

// A question is a functor with `static constexpr int WORDS` that writes this many 32-bit words for each thread.
template <class Question> __global__ void ask_kernel(uint32_t *answers, Question question) {
  question(answers + threadIdx.x * Question::WORDS);
}

inline void expect(cudaError_t error, const char *what) {
  if (error == cudaSuccess) return;
  std::fflush(stdout);  // the answers until now
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

template <class Question> std::vector<uint32_t> ask(const char *name, Question question) {
  std::vector<uint32_t> words(size_t(THREADS) * Question::WORDS, 0xdeadbeef);
  const size_t bytes = words.size() * sizeof(uint32_t);
  uint32_t *answers;
  expect(cudaMalloc(reinterpret_cast<void **>(&answers), bytes), name);
  expect(cudaMemcpy(answers, words.data(), bytes, cudaMemcpyHostToDevice), name);
  expect(gpu::launch(name, ask_kernel<Question>, dim3(1), dim3(THREADS), 0, nullptr, answers, question), name);
  expect(cudaDeviceSynchronize(), name);
  expect(cudaMemcpy(words.data(), answers, bytes, cudaMemcpyDeviceToHost), name);
  expect(cudaFree(answers), name);
  return words;
}

// name = hash first words ...
template <class Question> void exact(const char *name, Question question) {
  const std::vector<uint32_t> words = ask(name, question);
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (uint32_t word : words) hash = (hash ^ word) * 0x100000001b3u;
  std::printf("%s = %016llx", name, (unsigned long long)hash);
  for (size_t i = 0; i < 4; i++) std::printf(" %08x", words[i]);
  std::printf("\n");
}

// name ~ bound values ...   (floats, each of which may differ by the bound times its size, and below 1 by the bound)
template <class Question> void near(const char *name, double bound, Question question) {
  std::printf("%s ~ %g", name, bound);
  for (uint32_t word : ask(name, question)) {
    float x;
    std::memcpy(&x, &word, sizeof x);
    std::printf(" %.9g", double(x));
  }
  std::printf("\n");
}

void copies();
void tiles();
void warps();
void atomics();
void arithmetic();

}  // namespace conformance
