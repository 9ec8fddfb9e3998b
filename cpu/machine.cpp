// Reads the processors and the memory that this process may use: from the system, and from the cgroup files (version 1 or 2) of the groups
// that it is in.
#include "machine.h"
#include <sched.h>
#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <thread>
#include <vector>

namespace castor {
namespace {

constexpr int64_t UNLIMITED = std::numeric_limits<int64_t>::max();

// The value after `key` in a file of lines "key value", or -1.
int64_t field(const std::string &path, const std::string &key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) == 0) return std::strtoll(line.c_str() + key.size(), nullptr, 10);
  }
  return -1;
}

// The number in a file. A missing file and the word "max" mean unlimited.
int64_t number(const std::string &path) {
  std::ifstream file(path);
  int64_t value;
  return file >> value ? value : UNLIMITED;
}

// The directory of this process under cgroup v2, or in the hierarchy of a controller under v1. In a container it is the root.
std::string cgroup_path(const std::string &controller) {
  std::ifstream file("/proc/self/cgroup");
  const std::string key = ":" + controller + ":";
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find(key);
    if (at != std::string::npos) return line.substr(at + key.size());
  }
  return "/";
}

struct CgroupFiles { std::string root, own; };

CgroupFiles cgroup_files(const std::string &controller) {
  const std::string root = controller.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controller;
  return {root + "/", root + cgroup_path(controller) + "/"};
}

double cpu_quota(const std::string &path) {
  std::ifstream file(path + "cpu.max");
  double quota, period;
  if (file >> quota >> period && period > 0) return quota / period;
  const int64_t v1 = number(path + "cpu.cfs_quota_us"), v1_period = number(path + "cpu.cfs_period_us");
  return v1 > 0 && v1 != UNLIMITED && v1_period > 0 ? double(v1) / double(v1_period) : std::numeric_limits<double>::infinity();
}

struct MemoryLimit { int64_t total, available; };

// The page cache that the kernel would drop first does not count as used.
MemoryLimit memory_limit(const std::string &path) {
  const bool v2 = access((path + "memory.max").c_str(), R_OK) == 0;
  const int64_t total = number(path + (v2 ? "memory.max" : "memory.limit_in_bytes"));
  if (total == UNLIMITED) return {UNLIMITED, UNLIMITED};
  const int64_t used = number(path + (v2 ? "memory.current" : "memory.usage_in_bytes"));
  const int64_t droppable = std::max<int64_t>(0, field(path + "memory.stat", v2 ? "inactive_file " : "total_inactive_file "));
  return {total, used == UNLIMITED ? total : std::max<int64_t>(0, total - (used - droppable))};
}

// The cgroups that limit this process: its own, and all around it. They are looked up once, since most of the files searched do not exist.
std::vector<std::string> limiting_groups() {
  std::vector<std::string> paths;
  for (const CgroupFiles &files : {cgroup_files(""), cgroup_files("memory")}) {
    for (std::string path = files.own; path.size() >= files.root.size(); path.erase(path.rfind('/', path.size() - 2) + 1)) {
      if (memory_limit(path).total != UNLIMITED) paths.push_back(path);
    }
  }
  return paths;
}

MemoryLimit smallest_memory_limit() {
  static const std::vector<std::string> groups = limiting_groups();
  MemoryLimit limit{UNLIMITED, UNLIMITED};
  for (const std::string &path : groups) {
    const MemoryLimit one = memory_limit(path);
    limit = {std::min(limit.total, one.total), std::min(limit.available, one.available)};
  }
  return limit;
}

}  // namespace

int usable_cpus() {
  cpu_set_t set;
  double cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : int(std::thread::hardware_concurrency());
  for (const CgroupFiles &files : {cgroup_files(""), cgroup_files("cpu,cpuacct"), cgroup_files("cpu")}) {
    cpus = std::min({cpus, cpu_quota(files.root), cpu_quota(files.own)});
  }
  return std::max(1, int(std::ceil(cpus)));
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, 10, "model name") == 0) return line.substr(line.find(':') + 2);
  }
  return "CPU";
}

static int64_t memory_installed() {
  static const int64_t installed = int64_t(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  return installed;
}

int64_t memory_total() { return std::min(memory_installed(), smallest_memory_limit().total); }

bool memory_limited() {
  static const bool limited = memory_total() < memory_installed();
  return limited;
}

int64_t memory_available() {
  const int64_t kilobytes = field("/proc/meminfo", "MemAvailable:");
  const int64_t machine = kilobytes >= 0 ? kilobytes * 1024 : int64_t(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  return std::min(machine, smallest_memory_limit().available);
}

}  // namespace castor
