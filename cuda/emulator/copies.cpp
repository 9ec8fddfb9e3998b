#include "copies.h"
#include <cstring>
#include "asan.h"
#include "block.h"
#include "race.h"
#include "shared.h"
#include "tiles.h"

namespace castor::emulator {

void Copies::add(int thread, const Copy &copy) {
  used_ = true;
  open_[thread].push_back(copy);
}

void Copies::commit(int thread) {
  used_ = true;
  groups_[thread].push_back(std::move(open_[thread]));
  open_[thread].clear();
}

void Copies::wait(int thread, size_t groups_in_flight) {
  for (std::deque<Group> &groups = groups_[thread]; groups.size() > groups_in_flight; groups.pop_front()) {
    for (const Copy &copy : groups.front()) {
      std::memcpy(copy.to, copy.from, size_t(copy.bytes));
      std::memset(static_cast<char *>(copy.to) + copy.bytes, 0, size_t(copy.width - copy.bytes));
      race::writes(copy.to, size_t(copy.width), copy.place);
    }
  }
}

void Copies::clear() {
  if (!used_) return;
  for (Group &group : open_) group.clear();
  for (std::deque<Group> &groups : groups_) groups.clear();
  used_ = false;
}

void copy_async(void *to, const void *from, int bytes, int width, Place place) {
  const auto wrong = [&](const char *text, cudaError_t error) {
    fail(std::string("asynchronous copy ") + text + ", at " + to_string(place), error);
  };
  if (uintptr_t(to) % unsigned(width) || uintptr_t(from) % unsigned(width))
    wrong("between addresses that are not aligned to its size", cudaErrorMisalignedAddress);
  if (!shared.contains(to, size_t(width))) wrong("to what is not shared memory", cudaErrorLaunchFailure);
  if (bytes < 0 || bytes > width) wrong("of fewer than no or more than all of its bytes", cudaErrorLaunchFailure);
  if (asan::is_poisoned(to, size_t(width)) || asan::is_poisoned(from, size_t(bytes))) wrong("outside of an array", cudaErrorIllegalAddress);
  race::writes(to, size_t(width), place);  // from here on, other threads must have finished with both
  race::reads(from, size_t(bytes), place);
  std::memset(to, 0xff, size_t(width));
  copies.add(block.current(), {to, from, bytes, width, place});
}

void commit_copies() { copies.commit(block.current()); }
void wait_for_copies(int groups_in_flight) { copies.wait(block.current(), size_t(groups_in_flight)); }

}  // namespace castor::emulator
