// g++ 12's static C++ library refers to arc4random(), which glibc has from 2.36 on, for std::random_device, which Castor does not use. With
// this function in its place the library also loads where glibc is 2.35.
#include <sys/random.h>
#include <cstdint>

extern "C" uint32_t arc4random() noexcept {
  uint32_t value = 0;
  while (getrandom(&value, sizeof value, 0) != sizeof value) {}
  return value;
}
