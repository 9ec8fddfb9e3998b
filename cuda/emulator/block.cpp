#include "block.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "../gpu.h"
#include "copies.h"
#include "race.h"

namespace castor::emulator {

// ---- which thread is next ------------------------------------------------------------------------------------------

int Block::choose() {
  if (ready_.empty()) return NONE;
  switch (order_) {
    case Order::forward: {
      const int t = ready_.up_from(cursor_);
      cursor_ = (t + 1) % MAX_THREADS;
      return t;
    }
    case Order::reverse: {
      const int t = ready_.down_from(cursor_);
      cursor_ = (t + MAX_THREADS - 1) % MAX_THREADS;
      return t;
    }
    case Order::skew_low: return ready_.up_from(0);
    case Order::skew_high: return ready_.down_from(MAX_THREADS - 1);
    case Order::random: return ready_.up_from(int(random_.below(uint32_t(threads_))));
    case Order::random_skew: return upwards_ ? ready_.up_from(cursor_) : ready_.down_from(cursor_);
  }
  return NONE;
}

void Block::become(int thread) {
  current_ = thread;
  threadIdx = thread_[thread].index;
}

void Block::resume(int thread) {
  if (state_[thread] == State::fresh) {
    state_[thread] = State::running;
    thread_[thread].fiber = &fibers_.take();
  }
  become(thread);
  fibers_.switch_to(*thread_[thread].fiber);
}

void Block::wake(int thread) {
  state_[thread] = State::running;
  ready_.insert(thread);
}

void Block::park(State state, const char *name, Place place) {
  state_[current_] = state;
  thread_[current_].waits_in = name;
  thread_[current_].place = place;
  ready_.erase(current_);
  const int next = choose();
  // Switches from fiber to fiber. It returns home only if no thread can run, which is reported there.
  if (next == NONE) fibers_.switch_home();
  else resume(next);
}

void Block::yield() { fibers_.switch_home(); }

// A thread that never waits needs no switch: the next thread starts on the stack that it leaves.
void Block::run_threads() {
  Block &me = block;
  me.fibers_.arrived();
  for (;;) {
    me.launch_->run(me.launch_->arguments);
    me.finish_thread();
    const int next = me.error == cudaSuccess ? me.choose() : NONE;
    if (next != NONE && me.state_[next] == State::fresh) {
      me.state_[next] = State::running;
      me.thread_[next].fiber = &me.fibers_.current();
      me.become(next);
      continue;
    }
    me.fibers_.put_back(me.fibers_.current());
    if (next == NONE) me.fibers_.switch_home();
    else me.resume(next);
  }
}

void Block::finish_thread() {
  if (copies.in_flight(current_)) record("ends with asynchronous copies in flight", cudaErrorLaunchFailure);
  state_[current_] = State::done;
  ready_.erase(current_);
  live_--;
  Warp &warp = warp_of(current_);
  warp.live &= ~(1u << current_ % LANES);
  // Completes the operations that were only waiting for this thread.
  for (int i = warp.meetings - 1; i >= 0; i--) {
    const Meeting &meeting = warp.meeting[i];
    if (meeting.arrived == (meeting.mask & warp.live)) end_meeting(current_ / LANES, i);
  }
  if (live_ > 0 && waiting_ == live_) release_barrier();
}

// ---- operations of a warp --------------------------------------------------------------------------------------------

void Block::end_meeting(int number, int i) {
  Warp &warp = warps_[number];
  const Meeting meeting = warp.meeting[i];
  warp.meeting[i] = warp.meeting[--warp.meetings];
  Gathering all{meeting.mask, meeting.arrived, {}};
  std::copy(std::begin(meeting.argument), std::end(meeting.argument), all.argument);
  meeting.combine(all);
  warp.fences += meeting.fence;
  for (uint32_t rest = meeting.arrived; rest; rest &= rest - 1) {
    const int thread = number * LANES + __builtin_ctz(rest);
    if (state_[thread] == State::at_warp) wake(thread);
  }
}

void Block::meet(uint32_t mask, const char *name, void (*combine)(Gathering &), void *argument, Place place, bool fence,
                 uint64_t path) {
  const int lane = current_ % LANES;
  Warp &warp = warp_of(current_);
  if (!(mask >> lane & 1))
    fail(std::string(name) + " by a lane that is not in its own mask, at " + to_string(place), cudaErrorLaunchFailure);
  int i = 0;
  while (i < warp.meetings && !(warp.meeting[i].mask & mask)) i++;
  if (i == Warp::MEETINGS) fail("more warp operations in flight than the emulator can follow", cudaErrorLaunchFailure);
  Meeting &meeting = warp.meeting[i];
  if (i == warp.meetings) {
    warp.meetings++;
    meeting.mask = mask;
    meeting.arrived = 0;
    meeting.name = name;
    meeting.combine = combine;
    meeting.place = place;
    meeting.fence = fence;
    meeting.path = path;
  } else if (meeting.mask != mask || meeting.combine != combine || !same(meeting.place, place)) {
    fail(std::string("divergent warp: ") + name + " at " + to_string(place) + " while other lanes wait in " + meeting.name + " at " +
         to_string(meeting.place), cudaErrorLaunchFailure);
  } else if (meeting.path != path) {
    fail(std::string("divergent warp: ") + name + " at " + to_string(place) +
             " is reached by its lanes through different calls, although it is one instruction of the whole warp",
         cudaErrorLaunchFailure);
  }
  meeting.argument[lane] = argument;
  meeting.arrived |= 1u << lane;
  if (meeting.arrived == (mask & warp.live)) end_meeting(current_ / LANES, i);
  else park(State::at_warp, name, place);
}

// Follows the frames that the kernel's code keeps (-fno-omit-frame-pointer), as far as they are on the stack of the fiber.
uint64_t Block::call_path() const {
  const Fiber &fiber = *thread_[current_].fiber;
  const auto inside = [&](void *const *frame) {
    const uintptr_t at = uintptr_t(frame), stack = uintptr_t(fiber.stack);
    return at % sizeof(void *) == 0 && at >= stack && at + 2 * sizeof(void *) <= stack + fiber.bytes;
  };
  uint64_t path = 1;
  void *const *frame = static_cast<void *const *>(__builtin_frame_address(0));
  for (void *const *last = nullptr; inside(frame) && frame > last; last = frame, frame = static_cast<void *const *>(frame[0]))
    path = (path ^ reinterpret_cast<uintptr_t>(frame[1])) * 0x100000001b3u;
  return path;
}

// ---- the barrier of the block ------------------------------------------------------------------------------------------

void Block::release_barrier() {
  result_ = votes_;
  votes_ = waiting_ = 0;
  barriers_++;
  for (int t = 0; t < threads_; t++) {
    if (state_[t] == State::at_barrier) wake(t);
  }
}

int Block::meet_all(const char *name, bool predicate, Place place) {
  if (waiting_ > 0 && (!same(barrier_place_, place) || barrier_ != name)) {
    fail(std::string("divergent barrier: ") + name + " at " + to_string(place) + " while other threads wait in " + barrier_ + " at " +
         to_string(barrier_place_), cudaErrorLaunchFailure);
  }
  barrier_ = name;
  barrier_place_ = place;
  votes_ += predicate;
  if (++waiting_ == live_) release_barrier();
  else park(State::at_barrier, name, place);
  return result_;
}

// ---- failures --------------------------------------------------------------------------------------------------------

std::string Block::name_of(int t) const {
  char text[160];
  const uint3 &i = thread_[t].index;
  std::snprintf(text, sizeof text, "block (%u,%u,%u) thread (%u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z, i.x, i.y, i.z);
  return text;
}

void Block::record(const std::string &text, cudaError_t failed) {
  if (error != cudaSuccess) return;
  error = failed;
  report = std::string("kernel ") + launch_->name + ", " + (current_ == NONE ? "" : name_of(current_) + ": ") + text;
}

void Block::fail(const std::string &text, cudaError_t failed) {
  if (current_ == NONE) {
    std::fprintf(stderr, "device code on the host: %s\n", text.c_str());
    std::abort();
  }
  record(text, failed);
  fibers_.switch_home();
  std::abort();  // control never returns here: the fiber starts again
}

void Block::report_deadlock() {
  constexpr int places = 4;
  std::string text = "deadlock: no thread of the block can go on; waiting are";
  int listed = 0;
  const Thread *last = nullptr;
  for (int t = 0; t < threads_ && listed < places; t++) {
    if (state_[t] != State::at_warp && state_[t] != State::at_barrier) continue;
    const Thread &thread = thread_[t];
    if (last && last->waits_in == thread.waits_in && same(last->place, thread.place)) continue;
    text += "\n    " + name_of(t) + " in " + thread.waits_in + " at " + to_string(thread.place);
    last = &thread;
    listed++;
  }
  current_ = NONE;
  record(text, cudaErrorLaunchFailure);
}

// ---- a whole block -----------------------------------------------------------------------------------------------------

void Block::prepare(const Launch &launch, uint64_t seed) {
  const dim3 shape = launch.block;
  launch_ = &launch;
  order_ = options().order;
  random_ = Random(seed);
  threads_ = int(shape.x * shape.y * shape.z);
  error = cudaSuccess;
  report.clear();
  if (shape.x == indexed_.x && shape.y == indexed_.y && shape.z == indexed_.z) return;
  for (unsigned t = 0; t < unsigned(threads_); t++) thread_[t].index = {t % shape.x, t / shape.x % shape.y, t / (shape.x * shape.y)};
  indexed_ = shape;
}

bool Block::run() {
  live_ = threads_;
  waiting_ = votes_ = 0;
  barriers_++;
  std::memset(state_, int(State::fresh), size_t(threads_));
  ready_.fill(threads_);
  for (int w = 0; w * LANES < threads_; w++) {
    const int lanes = threads_ - w * LANES;
    warps_[w].live = lanes >= LANES ? ~0u : (1u << lanes) - 1;
    warps_[w].meetings = 0;
    warps_[w].fences++;
  }
  cursor_ = order_ == Order::reverse ? threads_ - 1 : order_ == Order::random_skew ? int(random_.below(uint32_t(threads_))) : 0;
  upwards_ = random_.below(2);
  copies.clear();
  while (live_ > 0 && error == cudaSuccess) {
    const int next = choose();
    if (next == NONE) report_deadlock();
    else resume(next);
  }
  current_ = NONE;
  if (error != cudaSuccess) fibers_.reset();
  return error == cudaSuccess;
}

// ---- functions of the device language ------------------------------------------------------------------------------------

void fail(const std::string &text, cudaError_t error) { block.fail(text, error); }

void collective(uint32_t mask, const char *name, void (*combine)(Gathering &), void *argument, Place place, bool fence, uint64_t path) {
  block.meet(mask, name, combine, argument, place, fence, path);
}
int barrier(const char *name, bool predicate, Place place) { return block.meet_all(name, predicate, place); }
int lane_index() { return block.current() % LANES; }
void yield() { block.yield(); }

uint32_t vote(uint32_t mask, bool predicate, const char *name, Place place) {
  VoteArgument argument{predicate, 0};
  collective(mask, name, [](Gathering &all) {
    uint32_t ballot = 0;
    all.each([&](int lane) { ballot |= uint32_t(all.of<VoteArgument>(lane).predicate) << lane; });
    all.each([&](int lane) { all.of<VoteArgument>(lane).ballot = ballot; });
  }, &argument, place);
  return argument.ballot;
}

std::string to_string(const Place &place) {
  const char *slash = std::strrchr(place.file_name(), '/');
  return std::string(slash ? slash + 1 : place.file_name()) + ":" + std::to_string(place.line()) + ":" + std::to_string(place.column()) +
         " in " + place.function_name();
}

}  // namespace castor::emulator
