// The shared memory of the running block: one arena, with inaccessible zones around every array, and garbage (NaN in every float dtype, -1
// in every integer dtype) in bytes that have not been written.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace castor::emulator {

class Shared {
 public:
  static constexpr size_t ARENA = 256 * 1024, STATIC_LIMIT = 48 * 1024;
  // The shared memory that a block may use on the device.
  static size_t limit();

  // `asked`: the dynamic bytes that the kernel was allowed. Without a permission, arrays and dynamic bytes together are limited to
  // STATIC_LIMIT; with it, arrays and what was asked for are limited to limit(), whatever the launch uses.
  void begin_block(size_t dynamic_bytes, size_t asked);
  void end_block();

  void *dynamic() { return arena_; }
  // The array with this key. It is created when the first thread of a block reaches it.
  void *array(const void *key, size_t bytes, size_t alignment);

  bool contains(const void *data, size_t bytes) const {
    return data >= arena_ && static_cast<const unsigned char *>(data) + bytes <= arena_ + ARENA;
  }
  size_t offset_of(const void *data) const { return size_t(static_cast<const unsigned char *>(data) - arena_); }

 private:
  struct Array { const void *key; size_t offset; };

  unsigned char *arena_ = nullptr;
  size_t dynamic_bytes_ = 0, asked_ = 0, static_bytes_ = 0, used_ = 0;
  std::vector<Array> arrays_;
};

inline Shared shared;

}  // namespace castor::emulator
