// Operations that the threads of a warp or of a block perform together.
#pragma once
#include <cstdint>
#include <cstring>
#include "failure.h"
#include "race.h"

namespace castor::emulator {

constexpr int LANES = 32;

// The arguments of the lanes: each lane has a block of arguments on its own stack.
struct Gathering {
  uint32_t mask, arrived;
  void *argument[LANES];

  bool has(int lane) const { return arrived >> lane & 1; }
  template <class T> EMULATOR_UNCHECKED T &of(int lane) const { return *static_cast<T *>(argument[lane]); }
  template <class F> EMULATOR_UNCHECKED void each(F f) const {
    for (int lane = 0; lane < LANES; lane++) {
      if (has(lane)) f(lane);
    }
  }
};

// Waits until every live lane of the mask has arrived. The last one calls `combine`, which writes the results in place. `fence`: the lanes
// see what the others wrote before. `path` is 0, or the call path of an instruction that all lanes must reach in the same way.
void collective(uint32_t mask, const char *name, void (*combine)(Gathering &), void *argument, Place place, bool fence = false,
                uint64_t path = 0);
// Waits for the whole block. Returns the number of threads for which the predicate holds.
int barrier(const char *name, bool predicate, Place place);
int lane_index();
void yield();

template <class T> struct ShuffleArgument { T in; int source; T out; };
template <class T> EMULATOR_UNCHECKED void combine_shuffle(Gathering &all) {
  all.each([&](int lane) EMULATOR_UNCHECKED {
    auto &mine = all.of<ShuffleArgument<T>>(lane);
    if (all.has(mine.source)) mine.out = all.of<ShuffleArgument<T>>(mine.source).in;
    else std::memset(static_cast<void *>(&mine.out), 0xff, sizeof(T));  // the value of a lane that has ended is undefined; NaN shows it
  });
}
template <class T> EMULATOR_UNCHECKED T shuffle(uint32_t mask, T value, int source, const char *name, Place place) {
  ShuffleArgument<T> argument{value, source, value};
  collective(mask, name, combine_shuffle<T>, &argument, place);
  return argument.out;
}

struct VoteArgument { bool predicate; uint32_t ballot; };
uint32_t vote(uint32_t mask, bool predicate, const char *name, Place place);

template <class T> struct MatchArgument { T value; uint32_t same; };
template <class T> EMULATOR_UNCHECKED void combine_match(Gathering &all) {
  all.each([&](int lane) EMULATOR_UNCHECKED {
    auto &mine = all.of<MatchArgument<T>>(lane);
    mine.same = 0;
    all.each([&](int other) EMULATOR_UNCHECKED { mine.same |= uint32_t(all.of<MatchArgument<T>>(other).value == mine.value) << other; });
  });
}

template <class T> struct ReduceArgument { T value; T (*combine)(T, T); };
template <class T> EMULATOR_UNCHECKED void combine_reduce(Gathering &all) {
  const int first = __builtin_ctz(all.arrived);
  T result = all.of<ReduceArgument<T>>(first).value;
  all.each([&](int lane) EMULATOR_UNCHECKED {
    if (lane != first) result = all.of<ReduceArgument<T>>(lane).combine(result, all.of<ReduceArgument<T>>(lane).value);
  });
  all.each([&](int lane) EMULATOR_UNCHECKED { all.of<ReduceArgument<T>>(lane).value = result; });
}
template <class T> EMULATOR_UNCHECKED T reduce(uint32_t mask, T value, T (*combine)(T, T), const char *name, Place place) {
  ReduceArgument<T> argument{value, combine};
  collective(mask, name, combine_reduce<T>, &argument, place);
  return argument.value;
}

}  // namespace castor::emulator

// ---- blocks ------------------------------------------------------------------------------------------------------------

using EmulatorPlace = castor::emulator::Place;

inline void __syncthreads(EmulatorPlace place = EmulatorPlace::current()) { castor::emulator::barrier("__syncthreads", false, place); }
inline int __syncthreads_or(int p, EmulatorPlace place = EmulatorPlace::current()) {
  return castor::emulator::barrier("__syncthreads_or", p != 0, place) != 0;
}
inline int __syncthreads_and(int p, EmulatorPlace place = EmulatorPlace::current()) {
  return castor::emulator::barrier("__syncthreads_and", p == 0, place) == 0;
}
inline int __syncthreads_count(int p, EmulatorPlace place = EmulatorPlace::current()) {
  return castor::emulator::barrier("__syncthreads_count", p != 0, place);
}
inline void __syncwarp(unsigned mask = ~0u, EmulatorPlace place = EmulatorPlace::current()) {
  castor::emulator::collective(mask, "__syncwarp", [](castor::emulator::Gathering &) {}, nullptr, place, true);
}
inline void __threadfence() { castor::emulator::race::fences(); }
inline void __threadfence_system() { castor::emulator::race::fences(); }
inline void __threadfence_block() {}
inline void __nanosleep(unsigned) { castor::emulator::yield(); }

// ---- warps -------------------------------------------------------------------------------------------------------------

template <class T>
EMULATOR_UNCHECKED T __shfl_sync(unsigned mask, T value, int source, int width = 32, EmulatorPlace place = EmulatorPlace::current()) {
  const int lane = castor::emulator::lane_index();
  return castor::emulator::shuffle(mask, value, (lane & ~(width - 1)) | (source & (width - 1)), "__shfl_sync", place);
}
template <class T>
EMULATOR_UNCHECKED T __shfl_xor_sync(unsigned mask, T value, int flip, int width = 32, EmulatorPlace place = EmulatorPlace::current()) {
  const int lane = castor::emulator::lane_index(), other = lane ^ flip;
  return castor::emulator::shuffle(mask, value, other / width > lane / width ? lane : other, "__shfl_xor_sync", place);
}
template <class T> EMULATOR_UNCHECKED T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                                                         EmulatorPlace place = EmulatorPlace::current()) {
  const int lane = castor::emulator::lane_index(), other = lane + int(distance);
  return castor::emulator::shuffle(mask, value, other / width != lane / width ? lane : other, "__shfl_down_sync", place);
}
template <class T> EMULATOR_UNCHECKED T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32,
                                                       EmulatorPlace place = EmulatorPlace::current()) {
  const int lane = castor::emulator::lane_index(), other = lane - int(distance);
  return castor::emulator::shuffle(mask, value, other < (lane & ~(width - 1)) ? lane : other, "__shfl_up_sync", place);
}
inline unsigned __ballot_sync(unsigned mask, int p, EmulatorPlace place = EmulatorPlace::current()) {
  return castor::emulator::vote(mask, p != 0, "__ballot_sync", place);
}
inline int __any_sync(unsigned mask, int p, EmulatorPlace place = EmulatorPlace::current()) {
  return castor::emulator::vote(mask, p != 0, "__any_sync", place) != 0;
}
inline int __all_sync(unsigned mask, int p, EmulatorPlace place = EmulatorPlace::current()) {
  return castor::emulator::vote(mask, p == 0, "__all_sync", place) == 0;
}
template <class T> EMULATOR_UNCHECKED unsigned __match_any_sync(unsigned mask, T value, EmulatorPlace place = EmulatorPlace::current()) {
  castor::emulator::MatchArgument<T> argument{value, 0};
  castor::emulator::collective(mask, "__match_any_sync", castor::emulator::combine_match<T>, &argument, place);
  return argument.same;
}

#define EMULATOR_REDUCE(name, T, value_of_x_and_y) \
  EMULATOR_UNCHECKED inline T name(unsigned mask, T value, EmulatorPlace place = EmulatorPlace::current()) { \
    return castor::emulator::reduce<T>(mask, value, [](T x, T y) -> T { return value_of_x_and_y; }, #name, place); \
  }
EMULATOR_REDUCE(__reduce_add_sync, unsigned, x + y)
EMULATOR_REDUCE(__reduce_add_sync, int, int(unsigned(x) + unsigned(y)))
EMULATOR_REDUCE(__reduce_min_sync, unsigned, x < y ? x : y)
EMULATOR_REDUCE(__reduce_min_sync, int, x < y ? x : y)
EMULATOR_REDUCE(__reduce_max_sync, unsigned, x > y ? x : y)
EMULATOR_REDUCE(__reduce_max_sync, int, x > y ? x : y)
EMULATOR_REDUCE(__reduce_and_sync, unsigned, x & y)
EMULATOR_REDUCE(__reduce_or_sync, unsigned, x | y)
EMULATOR_REDUCE(__reduce_xor_sync, unsigned, x ^ y)
#undef EMULATOR_REDUCE
