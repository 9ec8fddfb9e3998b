// Attention on tensor cores: blocks of four warps, for float16 and bfloat16 heads of up to 128 columns.
#pragma once
#include <initializer_list>
#include "attention.h"
#include "mma_tile.h"

namespace castor::cuda::flash {

constexpr int TILE_THREADS = 128;
constexpr int MAX_TILE_COLUMNS = 128;

// ---- on the host -----------------------------------------------------------------------------------------------------

// A tensor in the form that the tiles read and write: rows of a multiple of 8 contiguous elements, each aligned to 16 bytes. It is the
// tensor itself if its layout is like that, else a copy in scratch memory, which write_back() copies to the tensor.
class Aligned {
 public:
  enum class Use { read, written };

  Aligned(Context &context, const View &x, DType dtype, Use use)
      : x_(x), columns_((x.size[3] + 7) / 8 * 8), moved_(x.numel() > 0 && !fits(x, dtype)),
        memory_(context, moved_ ? x.size[0] * x.size[1] * x.size[2] * columns_ * size_of(dtype) : 0) {
    if (!moved_) return;
    describe(copy_, dtype, x.size[3]);
    if (use == Use::written) return;
    if (columns_ > x.size[3]) {
      View whole;
      describe(whole, dtype, columns_);
      fill(whole, 0);
    }
    copy(x, copy_);
  }

  Rows rows() const { return rows_of(moved_ ? copy_ : x_); }
  void write_back() const { if (moved_) copy(copy_, x_); }

 private:
  const View &x_;
  View copy_;
  int64_t columns_;
  bool moved_;
  Scratch memory_;

  // Describes the first `columns` columns of the rows in scratch memory.
  void describe(View &to, DType dtype, int64_t columns) const {
    to.data = memory_.as<char>();
    to.dtype = dtype;
    to.device = x_.device;
    to.rank = 4;
    int64_t stride = columns_;
    for (int axis = 2; axis >= 0; axis--) {
      to.size[axis] = x_.size[axis];
      to.stride[axis] = stride;
      stride *= x_.size[axis];
    }
    to.size[3] = columns;
    to.stride[3] = 1;
  }

  static bool fits(const View &x, DType dtype) {
    bool fits = x.dtype == dtype && reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.size[3] % 8 == 0 && x.stride[3] == 1;
    for (int axis = 0; axis < 3; axis++) fits &= x.size[axis] == 1 || x.stride[axis] % 8 == 0;
    return fits;
  }
};

// The mask in the form that the tiles read: not float64, with pairs of neighbouring keys that are aligned to their size. It is the mask
// itself if its layout is like that, else a copy in scratch memory, in which the axes that are broadcast still take no memory, but that of
// the keys does.
class PairedMask {
 public:
  PairedMask(Context &context, const Problem &p)
      : mask_(p.mask), size_{mask_.batch ? p.all_heads / p.heads : 1, mask_.head ? p.heads : 1, mask_.query ? p.queries : 1, p.keys},
        moved_(mask_.data && p.keys > 0 && !fits(mask_, p.keys)), dtype_(mask_.dtype == DType::f64 ? DType::f32 : mask_.dtype),
        memory_(context, moved_ ? size_[0] * size_[1] * size_[2] * pitch() * size_of(dtype_) : 0) {
    if (moved_) move(context.id);
  }
  const Mask &mask() const { return mask_; }

 private:
  Mask mask_;
  const int64_t size_[4];
  const bool moved_;
  const DType dtype_;
  Scratch memory_;

  int64_t pitch() const { return (size_[3] + 1) / 2 * 2; }

  static bool fits(const Mask &mask, int keys) {
    const bool aligned = reinterpret_cast<uintptr_t>(mask.data) % (2 * size_of(mask.dtype)) == 0;
    return aligned && mask.dtype != DType::f64 && mask.key == 1 && (keys | mask.batch | mask.head | mask.query) % 2 == 0;
  }

  void move(int32_t device) {
    int64_t *const strides[] = {&mask_.batch, &mask_.head, &mask_.query, &mask_.key};
    View from, to;
    from.data = const_cast<char *>(mask_.data), from.dtype = mask_.dtype;
    to.data = memory_.as<void>(), to.dtype = dtype_;
    from.device = to.device = device, from.rank = to.rank = 4;
    int64_t step = 1;
    for (int axis = 3; axis >= 0; axis--) {
      from.size[axis] = to.size[axis] = size_[axis];
      from.stride[axis] = *strides[axis], to.stride[axis] = step;
      if (axis == 3 || *strides[axis]) *strides[axis] = step;
      step *= axis == 3 ? pitch() : size_[axis];
    }
    copy(from, to);
    mask_.data = memory_.as<const char>(), mask_.dtype = dtype_;
  }
};

// Whether the tensor cores can compute with these tensors. Outputs are rounded to the dtype of the inputs and must have this dtype. Only
// gradients may also be float32, the dtype of their sums.
inline bool tensor_cores_take(std::initializer_list<const View *> tensors, std::initializer_list<const View *> gradients = {}) {
  const DType dtype = (*tensors.begin())->dtype;
  bool take = dtype == DType::f16 || dtype == DType::bf16;
  for (const View *x : tensors) take &= x->dtype == dtype && x->size[3] <= MAX_TILE_COLUMNS;
  for (const View *x : gradients) take &= (x->dtype == dtype || x->dtype == DType::f32) && x->size[3] <= MAX_TILE_COLUMNS;
  return take;
}

// Calls f with an element type and the width of a tile, which is at least `columns`.
template <class F> void with_tile(DType dtype, int columns, F f) {
  auto with_width = [&](auto element) {
    if (columns <= 32) f(element, std::integral_constant<int, 32>{});
    else if (columns <= 64) f(element, std::integral_constant<int, 64>{});
    else f(element, std::integral_constant<int, 128>{});
  };
  dtype == DType::f16 ? with_width(__half{}) : with_width(__nv_bfloat16{});
}

// Whether the scores are changed by more than a positive factor, which the exponential includes at no cost.
inline bool scores_are_changed(const Problem &p) { return p.mask.data || !(p.scale > 0 && p.scale < INFINITY); }

// ---- the scores of a warp --------------------------------------------------------------------------------------------

// The factor from the value of an accumulator to the exponent of 2: e^score = 2^(unit accumulator).
template <bool CHANGED> __device__ __forceinline__ float score_unit(const Problem &p) { return CHANGED ? LOG2_E : float(p.scale) * LOG2_E; }

// e^(score - base). A mask may be as low as the lowest float: then the difference has to be computed before it is scaled.
template <bool CHANGED> __device__ __forceinline__ float base_of(float base, float unit) { return CHANGED ? base : base * unit; }
template <bool CHANGED> __device__ __forceinline__ float exponential(float score, float base, float unit) {
  return gpu::exp2_approx(CHANGED ? (score - base) * unit : fmaf(score, unit, -base));
}

template <class N> __device__ __forceinline__ N *row_of(const Rows &x, const Place &place, int row) {
  return reinterpret_cast<N *>(x.data) + offset_of(x, place, row);
}

// Writes a warp's sums, rows from `row` on. Sums that are rounded to N are written through a tile in shared memory.
template <int D, int M, class N> __device__ __forceinline__ void store_gradient(const float (&sums)[M][D / 8][4], N *tile, const Rows &to,
                                                                                const Place &place, int row, int rows, int columns) {
  if (to.dtype == DType::f32) store_wide_rows<D>(sums, row_of<float>(to, place, row), to.row, rows, columns);
  else store_rows<D>(sums, tile, row_of<N>(to, place, row), to.row, rows, columns);
}

// Calls f with the element type of a PairedMask.
template <class F> __device__ __forceinline__ void with_paired_mask_dtype(DType d, F f) {
  switch (d) {
    case DType::boolean: return f(Bool{});
    case DType::f16: return f(Half{});
    case DType::bf16: return f(BFloat{});
    default: return f(float{});
  }
}

template <class S> __device__ __forceinline__ float masked(float score, S value) {
  if constexpr (std::is_same_v<S, Bool>) return convert<float>(value) != 0 ? score : HIDDEN;
  else return score + convert<float>(value);
}

// Applies the mask to scores of a warp. `values` is the mask of the head at the warp's first row and column, or of the first column and
// row if the scores are transposed; `queries` and `keys` are how many there are from there on. Scores of further keys are left as they
// are; those of further queries, which nobody reads, get the mask of the last one.
template <bool TRANSPOSED, class S, int M, int COLUMNS>
__device__ __forceinline__ void apply_mask(float (&s)[M][COLUMNS][4], const S *values, int64_t stride, int queries, int keys) {
  struct alignas(2 * sizeof(S)) Pair { S v[2]; };
  const int row = threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2;
  values += TRANSPOSED ? row : column;
  keys -= TRANSPOSED ? row : column;
  if constexpr (TRANSPOSED) {
    GPU_UNROLL for (int n = 0; n < COLUMNS; n++) {
      GPU_UNROLL for (int i = 0; i < 2; i++) {
        const S *from = values + min(column + n * 8 + i, queries - 1) * stride;
        GPU_UNROLL for (int m = 0; m < M; m++) {
          GPU_UNROLL for (int half = 0; half < 2; half++) {
            float &score = s[m][n][2 * half + i];
            if (m * 16 + half * 8 < keys) score = masked(score, from[m * 16 + half * 8]);
          }
        }
      }
    }
  } else {
    GPU_UNROLL for (int m = 0; m < M; m++) {
      GPU_UNROLL for (int half = 0; half < 2; half++) {
        const S *from = values + min(row + m * 16 + half * 8, queries - 1) * stride;
        GPU_UNROLL for (int n = 0; n < COLUMNS; n++) {
          if (n * 8 >= keys) continue;
          const Pair pair = *reinterpret_cast<const Pair *>(from + n * 8);
          GPU_UNROLL for (int i = 0; i < 2; i++) s[m][n][2 * half + i] = masked(s[m][n][2 * half + i], pair.v[i]);
        }
      }
    }
  }
}

// Replaces the scores of keys that a query may not see.
template <bool TRANSPOSED, int M, int COLUMNS>
__device__ __forceinline__ void hide_scores(float (&s)[M][COLUMNS][4], const Problem &p, int row, int column) {
  const int query = TRANSPOSED ? column : row, key = TRANSPOSED ? row : column, queries = TRANSPOSED ? COLUMNS * 8 : M * 16,
            keys = TRANSPOSED ? M * 16 : COLUMNS * 8;
  if (query + queries <= p.queries && key + keys <= p.keys && !(p.causal && key + keys > query + 1)) return;
  const int lane = threadIdx.x % 32;
  GPU_UNROLL for (int m = 0; m < M; m++) {
    GPU_UNROLL for (int half = 0; half < 2; half++) {
      // The columns first <= c < end of this row are visible.
      const int r = row + m * 16 + half * 8 + lane / 4, c = column + lane % 4 * 2;
      const int first = TRANSPOSED && p.causal ? r - c : 0;
      const int end = (TRANSPOSED ? r < p.keys ? p.queries : 0 : p.causal ? min(r + 1, p.keys) : p.keys) - c;
      GPU_UNROLL for (int n = 0; n < COLUMNS; n++) {
        GPU_UNROLL for (int i = 0; i < 2; i++) {
          const int at = n * 8 + i;
          if ((TRANSPOSED && at < first) || at >= end) s[m][n][2 * half + i] = HIDDEN;
        }
      }
    }
  }
}

// Completes the scores for softmax: hides the keys that are not visible and, for CHANGED scores, applies the scale and the mask.
template <bool TRANSPOSED, bool CHANGED, int M, int COLUMNS>
__device__ __forceinline__ void finish_scores(float (&s)[M][COLUMNS][4], const Problem &p, const Place &place, int row, int column) {
  if (CHANGED) {
    scale_rows(s, float(p.scale));
    const int query = TRANSPOSED ? column : row, key = TRANSPOSED ? row : column;
    if (p.mask.data && query < p.queries && key < p.keys) {
      const int64_t first = place.batch * p.mask.batch + place.head * p.mask.head + query * p.mask.query + key;
      with_paired_mask_dtype(p.mask.dtype, [&](auto element) {
        const auto *values = reinterpret_cast<const decltype(element) *>(p.mask.data) + first;
        apply_mask<TRANSPOSED>(s, values, p.mask.query, p.queries - query, p.keys - key);
      });
    }
  }
  hide_scores<TRANSPOSED>(s, p, row, column);
  __syncwarp();  // the instructions of the tensor cores that follow need all lanes
}

}  // namespace castor::cuda::flash
