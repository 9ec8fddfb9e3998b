// Asynchronous copies: a pipeline of two stages that sums the columns of a matrix, tile by tile.
#include "bug.h"

namespace tests {
namespace {

constexpr int COLUMNS = 64, ROWS = 16, TILES = 6, STAGES = 2, THREADS = 128;
constexpr int CHUNKS = COLUMNS * ROWS / 4;  // of 16 bytes, in a tile

enum class PipelineBug { none, no_barrier_after_wait, no_barrier_before_refill, waits_for_less, misaligned, in_flight };

template <PipelineBug BUG> __global__ void columns_kernel(const float *x, float *out) {
  GPU_SHARED(float, stage, [STAGES][ROWS * COLUMNS]);
  const int thread = int(threadIdx.x);
  const auto fetch = [&](int tile) {
    for (int i = thread; i < CHUNKS && tile < TILES; i += THREADS)
      gpu::cp_async16(&stage[tile % STAGES][4 * i], x + tile * ROWS * COLUMNS + 4 * i);
    gpu::cp_async_commit();
  };
  float sum = 0;
  fetch(0);
  for (int tile = 0; tile < TILES; tile++) {
    fetch(tile + 1);
    gpu::cp_async_wait<BUG == PipelineBug::waits_for_less ? 2 : 1>();
    if (BUG != PipelineBug::no_barrier_after_wait) __syncthreads();
    // In reverse order, so that no thread reads only elements that it has copied itself.
    if (thread < COLUMNS) {
      for (int row = 0; row < ROWS; row++) sum += stage[tile % STAGES][row * COLUMNS + COLUMNS - 1 - thread];
    }
    if (BUG != PipelineBug::no_barrier_before_refill) __syncthreads();
  }
  if (BUG == PipelineBug::misaligned) gpu::cp_async16(&stage[0][1], x);
  if (BUG != PipelineBug::in_flight) gpu::cp_async_wait<0>();
  else gpu::cp_async4(&stage[0][thread], x);
  if (thread < COLUMNS) out[COLUMNS - 1 - thread] = sum;
}

template <PipelineBug BUG> bool columns(bool with_bug) {
  std::vector<float> x(size_t(COLUMNS * ROWS * TILES)), expected(COLUMNS, 0);
  for (size_t i = 0; i < x.size(); i++) x[i] = float(i % 11), expected[i % COLUMNS] += x[i];
  const Buffer<float> in(x), out(COLUMNS);
  run(with_bug ? columns_kernel<BUG> : columns_kernel<PipelineBug::none>, 1, THREADS, 0, in.data(), out.data());
  return out.read() == expected;
}

const Bug after_wait("no barrier after the wait for a copy", {WRONG, WRONG, "of shared memory"},
                     columns<PipelineBug::no_barrier_after_wait>);
const Bug before_refill("no barrier before a stage is filled again", {WRONG, WRONG, "without order"},
                        columns<PipelineBug::no_barrier_before_refill>);
const Bug waits_for_less("a wait for one group too few", {WRONG, WRONG, WRONG}, columns<PipelineBug::waits_for_less>);
const Bug misaligned("an asynchronous copy to a misaligned address", {"not aligned", "not aligned", "not aligned"},
                     columns<PipelineBug::misaligned>);
const Bug in_flight("an asynchronous copy in flight at the end", {"copies in flight", "copies in flight", "copies in flight"},
                    columns<PipelineBug::in_flight>);

}  // namespace
}  // namespace tests
