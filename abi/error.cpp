// Turns exceptions into statuses and messages, and keeps each thread's last message.
#include "error.h"
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <new>

namespace castor {
namespace {

// A static buffer, because a message must be available even when no memory can be allocated.
thread_local char last_text[1024] = "";
thread_local int32_t last_status = CASTOR_OK;

int32_t record(int32_t status, const char *function, const char *text) {
  std::snprintf(last_text, sizeof last_text, "%s: %s", function, text);
  return last_status = status;
}

}  // namespace

const char *name_of(DType t) {
  constexpr const char *names[] = {"float32", "float16", "bfloat16", "float64", "int32", "int64", "uint8", "bool"};
  return names[int(t)];
}

void fail(castor_status status, const char *format, ...) {
  char text[sizeof last_text];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw Error{status, text};
}

int32_t record_failure(const char *function) noexcept {
  try {
    throw;
  } catch (const Error &error) {
    return record(error.status, function, error.message.c_str());
  } catch (const std::bad_alloc &) {
    return record(CASTOR_OUT_OF_MEMORY, function, "out of host memory");
  } catch (const std::exception &error) {
    return record(CASTOR_INTERNAL, function, error.what());
  } catch (...) {
    return record(CASTOR_INTERNAL, function, "unknown exception");
  }
}

std::string quoted(const std::string &text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    if (c >= ' ' || c < 0) json += c;
  }
  return json + '"';
}

void set_last_status(int32_t status) { last_status = status; }

}  // namespace castor

extern "C" const char *castor_last_error() { return castor::last_text; }
extern "C" int32_t castor_last_status() { return castor::last_status; }
