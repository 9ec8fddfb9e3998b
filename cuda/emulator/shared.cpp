#include "shared.h"
#include <cstdlib>
#include <cstring>
#include "asan.h"
#include "failure.h"
#include "options.h"

namespace castor::emulator {
namespace {

constexpr size_t ZONE = 64;  // inaccessible bytes after each array
constexpr size_t ALIGNMENT = 128;
constexpr int GARBAGE = 0xff;

size_t round_up(size_t x, size_t unit) { return (x + unit - 1) / unit * unit; }

}  // namespace

// The values are from the CUDA programming guide, "Technical Specifications per Compute Capability".
size_t Shared::limit() {
  switch (options().architecture) {
    case 80: case 87: return 163 * 1024;
    case 86: case 89: case 120: case 121: return 99 * 1024;
    default: return 227 * 1024;
  }
}

// Between blocks no byte may be accessed.
void Shared::begin_block(size_t dynamic_bytes, size_t asked) {
  if (!arena_) {
    arena_ = static_cast<unsigned char *>(std::aligned_alloc(1024, ARENA));
    asan::poison(arena_, ARENA);
  }
  dynamic_bytes_ = dynamic_bytes;
  asked_ = asked;
  static_bytes_ = 0;
  used_ = round_up(dynamic_bytes + ZONE, ALIGNMENT);
  arrays_.clear();
  if (dynamic_bytes == 0) return;
  asan::unpoison(arena_, dynamic_bytes);
  std::memset(arena_, GARBAGE, dynamic_bytes);
}

void Shared::end_block() { asan::poison(arena_, used_); }

void *Shared::array(const void *key, size_t bytes, size_t alignment) {
  for (const Array &array : arrays_) {
    if (array.key == key) return arena_ + array.offset;
  }
  static_bytes_ += bytes;
  const size_t most = asked_ > 0 ? limit() : STATIC_LIMIT, dynamic = asked_ > 0 ? asked_ : dynamic_bytes_;
  if (static_bytes_ > STATIC_LIMIT || static_bytes_ + dynamic > most) {
    fail("too much shared memory: " + std::to_string(static_bytes_) + " bytes in arrays and " + std::to_string(dynamic) +
         (asked_ > 0 ? " dynamic ones that the kernel asked for" : " dynamic ones without a request") + ", of " + std::to_string(most));
  }
  const size_t offset = round_up(used_, alignment < 16 ? 16 : alignment);
  used_ = offset + bytes + ZONE;
  arrays_.push_back({key, offset});
  asan::unpoison(arena_ + offset, bytes);
  std::memset(arena_ + offset, GARBAGE, bytes);
  return arena_ + offset;
}

}  // namespace castor::emulator
