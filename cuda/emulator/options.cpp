#include "options.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace castor::emulator {
namespace {

[[noreturn]] void stop(const char *name, const char *text, const char *allowed) {
  std::fprintf(stderr, "CASTOR_EMULATOR_%s is '%s', not %s\n", name, text, allowed);
  std::abort();
}

const char *text_of(const char *name) {
  const char *text = std::getenv((std::string("CASTOR_EMULATOR_") + name).c_str());
  return text && *text ? text : nullptr;
}

template <class T> void read(const char *name, T &into) {
  const char *text = text_of(name);
  if (!text) return;
  char *end;
  into = T(std::strtoull(text, &end, 10));
  if (*end || *text == '-') stop(name, text, "a whole number");
}

int choice(const char *name, const char *const *names, int count, int otherwise) {
  const char *text = text_of(name);
  if (!text) return otherwise;
  std::string list;
  for (int i = 0; i < count; i++) {
    if (std::strcmp(text, names[i]) == 0) return i;
    list += (i ? ", " : "one of ") + std::string(names[i]);
  }
  stop(name, text, list.c_str());
}

Options from_environment() {
  constexpr const char *orders[] = {"forward", "reverse", "skew-low", "skew-high", "random", "random-skew"}, *streams[] = {"eager", "lazy"};
  Options o;
  o.order = Order(choice("ORDER", orders, 6, int(o.order)));
  o.lazy = choice("STREAMS", streams, 2, o.lazy);
  read("SEED", o.seed);
  read("DEVICES", o.devices);
  read("MEMORY", o.memory);
  read("OCCUPIED", o.occupied);
  read("ARCHITECTURE", o.architecture);
  read("DRIVER", o.driver);
  read("PEERS", o.peers);
  read("BROKEN", o.broken);
  read("SLEEPLESS", o.sleepless);
  read("FAULT", o.fault);
  return o;
}

}  // namespace

Options &options() {
  static Options one = from_environment();
  return one;
}

}  // namespace castor::emulator
