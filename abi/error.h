// Exceptions below the border, a status and a text at it.
#pragma once
#include "backend.h"

namespace castor {

// Records the exception in flight for this thread and returns its status.
int32_t record_failure(const char *function) noexcept;
void set_last_status(int32_t status);

// A text as a JSON string.
std::string quoted(const std::string &text);

template <class Body> int32_t guard(const char *function, Body &&body) noexcept {
  try {
    body();
    return CASTOR_OK;
  } catch (...) {
    return record_failure(function);
  }
}

}  // namespace castor
