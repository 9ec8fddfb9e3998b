// Whether the machine, or the container, has room for new memory. Linux kills a process that takes more than there is, without an error
// that it could handle, so memory is refused before.
#pragma once
#include <cstdint>

namespace castor {

// Bytes that are about to be taken. While it lives they count as taken, although the system does not count memory before it is written to.
class Claim {
 public:
  // claimed: the bytes that the process has taken from this allocator, written to or not.
  Claim(int64_t bytes, int64_t claimed);
  ~Claim();
  Claim(const Claim &) = delete;
  Claim &operator=(const Claim &) = delete;
  bool granted() const { return granted_; }

 private:
  const int64_t bytes_;
  bool granted_ = true;
};

// Writes to each page of new memory if a container limits the process, so that the next claim finds it counted. Only the first
// `bytes` bytes at `data` are written to, and their contents are lost.
void commit(void *data, int64_t bytes);

}  // namespace castor
