// Reads the processors and the memory of a Mac, which has no containers.
#include <dlfcn.h>
#include <mach/mach.h>
#include <sys/sysctl.h>
#include <algorithm>
#include <thread>
#include "machine.h"

namespace castor {
namespace {

// The linker of macOS has no option against unloading, which the threads of the library would not survive: it opens itself once more.
__attribute__((constructor)) void stay() {
  Dl_info own;
  if (dladdr(reinterpret_cast<void *>(stay), &own)) dlopen(own.dli_fname, RTLD_LAZY | RTLD_NODELETE | RTLD_NOLOAD);
}

}  // namespace

int usable_cpus() { return std::max(1, int(std::thread::hardware_concurrency())); }

std::string cpu_name() {
  char name[256] = "";
  size_t bytes = sizeof name - 1;
  return sysctlbyname("machdep.cpu.brand_string", name, &bytes, nullptr, 0) == 0 ? name : "CPU";
}

int64_t memory_total() {
  int64_t total = 0;
  size_t bytes = sizeof total;
  sysctlbyname("hw.memsize", &total, &bytes, nullptr, 0);
  return total;
}

bool memory_limited() { return false; }

// Pages that hold nothing, and those that the system drops first.
int64_t memory_available() {
  vm_statistics64_data_t pages;
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  const auto into = reinterpret_cast<host_info64_t>(&pages);
  if (host_statistics64(mach_host_self(), HOST_VM_INFO64, into, &count) != KERN_SUCCESS) return memory_total();
  return (int64_t(pages.free_count) + pages.inactive_count + pages.purgeable_count) * int64_t(vm_page_size);
}

}  // namespace castor
