// Part of castor_cpu_asan. Before an exception leaves a function, compiled code calls __asan_handle_no_return so that the stack frames that
// are skipped may be accessed again. AddressSanitizer's own function fails in Bun, whose alternate stack for signals begins at an address
// that is no multiple of 8. This one looks at the stack of the thread only.
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <cstdint>

namespace {

uintptr_t end_of_stack() {
  pthread_attr_t attributes;
  void *start = nullptr;
  size_t bytes = 0;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return 0;
  pthread_attr_getstack(&attributes, &start, &bytes);
  pthread_attr_destroy(&attributes);
  return reinterpret_cast<uintptr_t>(start) + bytes;
}

}  // namespace

extern "C" __attribute__((no_sanitize_address)) void __asan_handle_no_return() {
  static thread_local const uintptr_t end = end_of_stack();
  const uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) & ~uintptr_t(7);
  if (here < end) __asan_unpoison_memory_region(reinterpret_cast<void *>(here), end - here);
}
