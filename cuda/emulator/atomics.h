// Atomic functions. One thread of the system runs all the threads of a kernel, so a read followed by a write is atomic.
#pragma once
#include <type_traits>
#include "race.h"

#define EMULATOR_ATOMIC(name, new_value) \
  template <class T> EMULATOR_UNCHECKED T name(T *p, std::type_identity_t<T> v) { \
    castor::emulator::race::writes_atomically(p, sizeof(T)); \
    const T old = *p; \
    *p = T(new_value); \
    return old; \
  }
EMULATOR_ATOMIC(atomicAdd, old + v)
EMULATOR_ATOMIC(atomicSub, old - v)
EMULATOR_ATOMIC(atomicExch, v)
EMULATOR_ATOMIC(atomicMax, old < v ? v : old)
EMULATOR_ATOMIC(atomicMin, v < old ? v : old)
EMULATOR_ATOMIC(atomicOr, old | v)
EMULATOR_ATOMIC(atomicAnd, old & v)
EMULATOR_ATOMIC(atomicXor, old ^ v)
EMULATOR_ATOMIC(atomicInc, old >= v ? 0 : old + 1)
EMULATOR_ATOMIC(atomicDec, old == 0 || old > v ? v : old - 1)
#undef EMULATOR_ATOMIC

template <class T> EMULATOR_UNCHECKED T atomicCAS(T *p, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  castor::emulator::race::writes_atomically(p, sizeof(T));
  const T old = *p;
  if (old == expected) *p = v;
  return old;
}
