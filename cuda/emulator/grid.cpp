#include "grid.h"
#include <algorithm>
#include <map>
#include "../gpu.h"
#include "block.h"
#include "race.h"
#include "shared.h"

namespace castor::emulator {
namespace {

uint64_t hash(const char *text) {  // FNV-1a
  uint64_t h = 0xcbf29ce484222325u;
  for (; *text; text++) h = (h ^ uint8_t(*text)) * 0x100000001b3u;
  return h;
}

// The table of no-operations before functions, which the linker delimits. It is absent if no kernel has launch bounds.
extern "C" const uintptr_t __start___patchable_function_entries[] __attribute__((weak, visibility("hidden")));
extern "C" const uintptr_t __stop___patchable_function_entries[] __attribute__((weak, visibility("hidden")));

// The number of threads that a block of the kernel may have. Between the first no-operation and the function is nothing else.
size_t launch_bounds(const void *kernel) {
  constexpr unsigned char NO_OPERATION = 0x90;
  const auto *const function = static_cast<const unsigned char *>(kernel);
  for (const uintptr_t *entry = __start___patchable_function_entries; entry != __stop___patchable_function_entries; entry++) {
    const size_t bytes = uintptr_t(kernel) - *entry;
    if (bytes == 0 || bytes > size_t(MAX_THREADS)) continue;
    if (std::all_of(function - bytes, function, [](unsigned char byte) { return byte == NO_OPERATION; })) return bytes;
  }
  return size_t(MAX_THREADS);
}

size_t known_launch_bounds(const void *kernel) {
  static auto &known = *new std::map<const void *, size_t>;
  const auto found = known.find(kernel);
  return found != known.end() ? found->second : known[kernel] = launch_bounds(kernel);
}

std::string describe(const Launch &l) {
  const auto text = [](dim3 d) { return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")"; };
  return std::string("kernel ") + l.name + " with a grid of " + text(l.grid) + " blocks of " + text(l.block) + " threads and " +
         std::to_string(l.shared) + " bytes of dynamic shared memory: ";
}

}  // namespace

Outcome check_launch(const Launch &l) {
  const size_t allowed_shared = std::max(l.asked, Shared::STATIC_LIMIT);
  constexpr unsigned most_blocks = 0x7fffffff, most_blocks_yz = 65535, most_threads_z = 64;
  const size_t threads = size_t(l.block.x) * l.block.y * l.block.z;
  if (threads == 0 || threads > MAX_THREADS || l.block.z > most_threads_z)
    return {cudaErrorInvalidConfiguration, describe(l) + "a block has 1 to " + std::to_string(MAX_THREADS) + " threads"};
  if (threads > known_launch_bounds(l.kernel))
    return {cudaErrorLaunchOutOfResources,
            describe(l) + "its launch bounds are " + std::to_string(known_launch_bounds(l.kernel)) + " threads"};
  if (l.grid.x == 0 || l.grid.y == 0 || l.grid.z == 0)
    return {cudaErrorInvalidConfiguration, describe(l) + "a grid has at least one block"};
  if (l.grid.x > most_blocks || l.grid.y > most_blocks_yz || l.grid.z > most_blocks_yz)
    return {cudaErrorInvalidConfiguration, describe(l) + "too many blocks along an axis"};
  if (l.shared > allowed_shared)
    return {cudaErrorInvalidValue,
            describe(l) + "more shared memory than the " + std::to_string(allowed_shared) + " bytes that it may ask for"};
  return {cudaSuccess, {}};
}

// The order of everything depends only on the seed and the kernel's name, not on what ran before. So a test case that is run alone behaves
// as it did among others.
Outcome run_grid(const Launch &l) {
  const uint64_t seed = options().seed * 0x9e3779b97f4a7c15u ^ hash(l.name);
  const uint64_t blocks = uint64_t(l.grid.x) * l.grid.y * l.grid.z;
  const Order order = options().order;
  Random random(seed);
  const bool any = order == Order::random || order == Order::random_skew;
  const bool backwards = any ? random.below(2) == 1 : order == Order::reverse || order == Order::skew_high;
  const uint64_t first = any ? random.next() % blocks : 0;
  blockDim = l.block;
  gridDim = l.grid;
  block.prepare(l, seed);
  race::begins_launch();
  for (uint64_t k = 0; k < blocks; k++) {
    const uint64_t i = (first + (backwards ? blocks - 1 - k : k)) % blocks;
    blockIdx = uint3{unsigned(i % l.grid.x), unsigned(i / l.grid.x % l.grid.y), unsigned(i / l.grid.x / l.grid.y)};
    race::begins_block();
    shared.begin_block(l.shared, l.asked);
    const bool ran = block.run();
    shared.end_block();
    race::ends_block();
    if (!ran) return {block.error, block.report};
  }
  return {cudaSuccess, {}};
}

}  // namespace castor::emulator
