// The block that is running: its threads, which of them runs next, and the operations at which they wait for each other.
#pragma once
#include <cuda_runtime.h>
#include <cstdint>
#include <string>
#include "collectives.h"
#include "fiber.h"
#include "launch.h"
#include "options.h"
#include "random.h"
#include "ready.h"

namespace castor::emulator {

enum class State : uint8_t { fresh, running, at_warp, at_barrier, done };

struct Thread {
  Fiber *fiber;
  uint3 index;
  const char *waits_in;
  Place place;
};

// A warp operation at which some lanes have arrived.
struct Meeting {
  uint32_t mask, arrived;
  const char *name;
  void (*combine)(Gathering &);
  Place place;
  bool fence;
  uint64_t path;
  void *argument[LANES];
};

struct Warp {
  static constexpr int MEETINGS = 4;
  uint32_t live;
  uint32_t fences;  // the number of fences at which the lanes have seen each other's writes
  int meetings;
  Meeting meeting[MEETINGS];
};

class Block {
 public:
  void prepare(const Launch &launch, uint64_t seed);
  // Runs the block blockIdx to its end. Returns false if it failed.
  bool run();

  int current() const { return current_; }  // NONE outside a kernel
  uint32_t barriers() const { return barriers_; }
  Warp &warp_of(int thread) { return warps_[thread / LANES]; }

  void meet(uint32_t mask, const char *name, void (*combine)(Gathering &), void *argument, Place place, bool fence,
            uint64_t path);
  // A hash of the calls from the kernel to the function that asks: the same for lanes that have not diverged. Calls that were inlined
  // differ by their place in the code.
  uint64_t call_path() const;
  int meet_all(const char *name, bool predicate, Place place);
  void yield();
  [[noreturn]] void fail(const std::string &text, cudaError_t error);

  cudaError_t error = cudaSuccess;
  std::string report;

 private:
  static void run_threads();  // the function that every fiber runs

  int choose();
  void become(int thread);
  void resume(int thread);
  void wake(int thread);
  void park(State state, const char *name, Place place);
  void finish_thread();
  void end_meeting(int warp, int meeting);
  void release_barrier();
  void report_deadlock();
  std::string name_of(int thread) const;
  void record(const std::string &text, cudaError_t failed);

  const Launch *launch_ = nullptr;
  int threads_ = 0, live_ = 0, current_ = NONE;
  State state_[MAX_THREADS];
  Thread thread_[MAX_THREADS];
  Warp warps_[MAX_THREADS / LANES] = {};
  dim3 indexed_{0, 0, 0};  // the shape of the block that the threads' indices were computed for

  Order order_ = Order::forward;
  Random random_{1};
  Ready ready_;
  int cursor_ = 0;
  bool upwards_ = true;
  Fibers fibers_{run_threads};

  int waiting_ = 0;        // number of threads at the barrier
  const char *barrier_ = nullptr;
  Place barrier_place_;
  int votes_ = 0, result_ = 0;
  uint32_t barriers_ = 0;  // number of barriers passed, in all blocks so far
};

inline Block block;

}  // namespace castor::emulator
