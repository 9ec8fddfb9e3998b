// A library to preload: the process finds itself in a container of FAKE_LIMIT bytes. The files of its cgroup (version 2) are made up; the
// memory that it uses is its true resident memory. Nothing is killed, so that a test can see how much was used at the most.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static long resident(void) {
  long pages = 0;
  FILE *(*real)(const char *, const char *) = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen");
  FILE *file = real("/proc/self/statm", "r");
  if (!file || fscanf(file, "%*s %ld", &pages) != 1) abort();
  fclose(file);
  return pages * sysconf(_SC_PAGESIZE);
}

// Returns a file with the text that a path of the container has, null for a path that it does not have, and the path itself elsewhere.
static const char *content(const char *path, char *text, size_t size) {
  if (strcmp(path, "/proc/self/cgroup") == 0) return "0::/box\n";
  if (strncmp(path, "/sys/fs/cgroup/", 15) != 0) return path;
  if (strcmp(path, "/sys/fs/cgroup/box/memory.max") == 0) snprintf(text, size, "%s\n", getenv("FAKE_LIMIT"));
  else if (strcmp(path, "/sys/fs/cgroup/box/memory.current") == 0) snprintf(text, size, "%ld\n", resident());
  else if (strcmp(path, "/sys/fs/cgroup/box/memory.stat") == 0) snprintf(text, size, "inactive_file 0\n");
  else return NULL;
  return text;
}

static FILE *open_with(const char *name, const char *path, const char *mode) {
  char text[256];
  FILE *(*real)(const char *, const char *) = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, name);
  const char *made = content(path, text, sizeof text);
  if (!made) return NULL;
  if (made == path) return real(path, mode);
  const int file = memfd_create("made up", 0);
  if (write(file, made, strlen(made)) < 0) abort();
  lseek(file, 0, SEEK_SET);
  return fdopen(file, "r");
}
FILE *fopen(const char *path, const char *mode) { return open_with("fopen", path, mode); }
FILE *fopen64(const char *path, const char *mode) { return open_with("fopen64", path, mode); }

int access(const char *path, int mode) {
  char text[256];
  int (*real)(const char *, int) = (int (*)(const char *, int))dlsym(RTLD_NEXT, "access");
  const char *made = content(path, text, sizeof text);
  return !made ? -1 : made == path ? real(path, mode) : 0;
}
