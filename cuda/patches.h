// The patches of images as matrices in memory (im2col), for products that need rows.
#pragma once
#include "gemm.h"

namespace castor::cuda {

// A range of images, and where the patches of each go: a row for each channel and tap has the pixels one after the other, and zeros after
// them up to a multiple of VECTOR_WIDTH. Steps are in elements and multiples of VECTOR_WIDTH.
struct PatchRows {
  int64_t first, count, pixels, channels;  // images, pixels of each of them, and channels
  char *to;
  int64_t image_step, row_step;

  static int64_t padded(int64_t pixels) { return blocks_for(pixels, VECTOR_WIDTH) * VECTOR_WIDTH; }
};

// Writes patches. The index x of the operand runs over the images and the pixels of each, and k over the channels and the taps, of both
// axes. Its elements have 16 bits, and those of a channel of an image are fewer than 2^31 apart.
void write_patches(Context &context, const GemmOperand &images, const PatchRows &rows);

}  // namespace castor::cuda
