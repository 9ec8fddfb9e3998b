// The asynchronous copies that the threads of the block have started.
#pragma once
#include <deque>
#include <vector>
#include "failure.h"
#include "ready.h"

namespace castor::emulator {

struct Copy { void *to; const void *from; int bytes, width; Place place; };

class Copies {
 public:
  void add(int thread, const Copy &copy);
  void commit(int thread);
  void wait(int thread, size_t groups_in_flight);
  bool in_flight(int thread) const { return used_ && (!open_[thread].empty() || !groups_[thread].empty()); }
  void clear();

 private:
  using Group = std::vector<Copy>;
  bool used_ = false;
  Group open_[MAX_THREADS];
  std::deque<Group> groups_[MAX_THREADS];
};

inline Copies copies;

}  // namespace castor::emulator
