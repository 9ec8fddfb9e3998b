// Prints what a library of Castor says of a machine that is made up: files of /proc and /sys/fs/cgroup come from the folder FAKE_ROOT, which
// has them or not, and the numbers of CPUs and pages from FAKE_CPUS, FAKE_PAGES and FAKE_FREE_PAGES. The functions here stand before those of
// the C library. Argument: the library's path. Output: castor_describe(0), and total and available bytes.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *place(const char *path, char *to, size_t size) {
  static const char *const faked[] = {"/sys/fs/cgroup", "/proc/self/cgroup", "/proc/meminfo", "/proc/cpuinfo"};
  for (int i = 0; i < 4; i++) {
    if (strncmp(path, faked[i], strlen(faked[i])) != 0) continue;
    snprintf(to, size, "%s%s", getenv("FAKE_ROOT"), path);
    return to;
  }
  return path;
}

static FILE *open_with(const char *name, const char *path, const char *mode) {
  char to[4096];
  FILE *(*real)(const char *, const char *) = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, name);
  return real(place(path, to, sizeof to), mode);
}
FILE *fopen(const char *path, const char *mode) { return open_with("fopen", path, mode); }
FILE *fopen64(const char *path, const char *mode) { return open_with("fopen64", path, mode); }

int access(const char *path, int mode) {
  char to[4096];
  int (*real)(const char *, int) = (int (*)(const char *, int))dlsym(RTLD_NEXT, "access");
  return real(place(path, to, sizeof to), mode);
}

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set) {
  (void)pid;
  memset(set, 0, size);
  for (int i = 0; i < atoi(getenv("FAKE_CPUS")); i++) CPU_SET(i, set);
  return 0;
}

long sysconf(int name) {
  long (*real)(int) = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
  if (name == _SC_PHYS_PAGES) return atol(getenv("FAKE_PAGES"));
  if (name == _SC_AVPHYS_PAGES) return atol(getenv("FAKE_FREE_PAGES"));
  return real(name);
}

int main(int count, char **arguments) {
  void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
  if (!library) return 1;
  const char *(*describe)(int) = (const char *(*)(int))dlsym(library, "castor_describe");
  int (*memory)(int, double *) = (int (*)(int, double *))dlsym(library, "castor_memory");
  double stats[10];
  if (!describe || !memory || memory(0, stats) != 0) return 1;
  printf("%s\n%.0f %.0f\n", describe(0), stats[6], stats[7]);
  return 0;
}
