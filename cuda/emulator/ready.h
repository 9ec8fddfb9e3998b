#pragma once
#include <cstdint>
#include <cstring>

namespace castor::emulator {

constexpr int MAX_THREADS = 1024;  // of a block
constexpr int NONE = -1;

// A set of threads of a block.
class Ready {
 public:
  void fill(int n) {
    count_ = n;
    for (int w = 0; w < WORDS; w++) {
      const int rest = n - 64 * w;
      words_[w] = rest >= 64 ? ~uint64_t(0) : rest > 0 ? (uint64_t(1) << rest) - 1 : 0;
    }
  }
  bool empty() const { return count_ == 0; }
  void insert(int t) { words_[t / 64] |= uint64_t(1) << t % 64, count_++; }
  void erase(int t) { words_[t / 64] &= ~(uint64_t(1) << t % 64), count_--; }

  // The first thread of the set from here on, upwards or downwards, continuing at the other end. The set must not be empty.
  int up_from(int t) const {
    int w = t / 64;
    for (uint64_t word = words_[w] & ~uint64_t(0) << t % 64;; word = words_[w]) {
      if (word) return 64 * w + __builtin_ctzll(word);
      w = (w + 1) % WORDS;
    }
  }
  int down_from(int t) const {
    int w = t / 64;
    for (uint64_t word = words_[w] & ~uint64_t(0) >> (63 - t % 64);; word = words_[w]) {
      if (word) return 64 * w + 63 - __builtin_clzll(word);
      w = (w + WORDS - 1) % WORDS;
    }
  }

 private:
  static constexpr int WORDS = MAX_THREADS / 64;
  uint64_t words_[WORDS];
  int count_ = 0;
};

}  // namespace castor::emulator
