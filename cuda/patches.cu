#include "patches.h"

namespace castor::cuda {
namespace {

constexpr int CHANNELS = 8;  // of a thread

// A thread writes one vector of each of some channels, of neighbouring pixels for one tap. Where these pixels are is the same for all
// channels.
__global__ void __launch_bounds__(512) patches_kernel(const __grid_constant__ GemmOperand images, const PatchRows rows, Divider per_row,
                                                      Divider taps, Divider groups, uint32_t vectors) {
  constexpr int32_t OUTSIDE = INT32_MIN;
  const uint32_t vector = blockIdx.x * blockDim.x + threadIdx.x;
  if (vector >= vectors) return;
  const uint32_t row = per_row.quotient(vector), pixel = (vector - row * per_row.divisor) * VECTOR_WIDTH;
  const uint32_t group = taps.quotient(row), tap = row - group * taps.divisor, image = groups.quotient(group);
  const uint32_t first_channel = (group - image * groups.divisor) * CHANNELS;
  const Position at = images.x.position(uint32_t((rows.first + image) * rows.pixels + pixel)), q = images.k.position(tap);
  const uint32_t width = images.x.low.divisor;

  int32_t place[VECTOR_WIDTH];  // from the first pixel
  uint32_t column = pixel - images.x.low.quotient(pixel) * width;
  int32_t y = at.y + q.y, x = at.x + q.x, offset = 0;
  GPU_UNROLL for (int e = 0; e < VECTOR_WIDTH; e++) {
    const bool inside = pixel + e < rows.pixels && uint32_t(y) < uint32_t(images.height) && uint32_t(x) < uint32_t(images.width);
    place[e] = inside ? offset : OUTSIDE;
    column++, x += images.x.step_x, offset += int32_t(images.x.stride[2]);
    if (column == width) {
      column = 0, x -= int32_t(width) * images.x.step_x, y += images.x.step_y;
      offset += int32_t(images.x.stride[1] - int64_t(width) * images.x.stride[2]);
    }
  }

  const uint32_t last_channel = min(first_channel + CHANNELS, uint32_t(rows.channels));
  const uint16_t *from =
      reinterpret_cast<const uint16_t *>(images.data) + at.offset + q.offset + first_channel * images.k.stride[0];
  uint16_t *to = reinterpret_cast<uint16_t *>(rows.to) + image * rows.image_step +
                 (int64_t(first_channel) * taps.divisor + tap) * rows.row_step + pixel;
  for (uint32_t channel = first_channel; channel < last_channel; channel++) {
    Access<uint16_t, VECTOR_WIDTH> patch;
    GPU_UNROLL for (int e = 0; e < VECTOR_WIDTH; e++) patch.v[e] = place[e] == OUTSIDE ? uint16_t(0) : from[place[e]];
    *reinterpret_cast<Access<uint16_t, VECTOR_WIDTH> *>(to) = patch;
    from += images.k.stride[0], to += taps.divisor * rows.row_step;
  }
}

}  // namespace

void write_patches(Context &context, const GemmOperand &images, const PatchRows &rows) {
  const int64_t per_row = PatchRows::padded(rows.pixels) / VECTOR_WIDTH, taps = int64_t(images.k.middle.divisor) * images.k.low.divisor;
  const int64_t groups = blocks_for(rows.channels, CHANNELS), vectors = rows.count * groups * taps * per_row;
  const int threads = block_threads(256);
  launch(context, "patches of a convolution", patches_kernel, blocks_for(vectors, threads), threads, 0, images, rows,
         Divider(uint32_t(per_row)), Divider(uint32_t(taps)), Divider(uint32_t(groups)), uint32_t(checked_side(vectors)));
}

}  // namespace castor::cuda
