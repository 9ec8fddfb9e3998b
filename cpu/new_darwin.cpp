// Memory of C++ objects on a Mac. A C++ library that is linked in statically would bring functions of its own for this, which the library
// would export, since the linker of Zig takes no list of exports. CMakeLists.txt has them hidden by an option of the compiler.
#include <cstdlib>
#include <new>

namespace {

void *checked(void *data) { return data ? data : throw std::bad_alloc(); }
void *make(size_t bytes) { return checked(std::malloc(bytes ? bytes : 1)); }

void *make(size_t bytes, std::align_val_t alignment) {
  const size_t least = size_t(alignment) < sizeof(void *) ? sizeof(void *) : size_t(alignment);
  void *data = nullptr;
  return checked(posix_memalign(&data, least, bytes ? bytes : 1) == 0 ? data : nullptr);
}

}  // namespace

void *operator new(size_t bytes) { return make(bytes); }
void *operator new[](size_t bytes) { return make(bytes); }
void *operator new(size_t bytes, std::align_val_t alignment) { return make(bytes, alignment); }
void *operator new[](size_t bytes, std::align_val_t alignment) { return make(bytes, alignment); }
void operator delete(void *data) noexcept { std::free(data); }
void operator delete[](void *data) noexcept { std::free(data); }
void operator delete(void *data, size_t) noexcept { std::free(data); }
void operator delete[](void *data, size_t) noexcept { std::free(data); }
void operator delete(void *data, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void *data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void *data, size_t, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void *data, size_t, std::align_val_t) noexcept { std::free(data); }
