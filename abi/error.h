// Turns exceptions of the library into the statuses and messages of the C ABI.
#pragma once
#include "backend.h"

namespace castor {

// Stores the message of the exception being handled for this thread, and returns its status.
int32_t record_failure(const char *function) noexcept;
void set_last_status(int32_t status);

// A text as a JSON string literal.
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
