/* The C ABI of Castor: every function that TypeScript calls in the native library.
 *
 * Rules
 * - Arguments are int32_t, double and pointers to host buffers. Addresses of views, storage handles and byte counts are passed as
 *   double: 64-bit integers and pointers are slow or not portable in JavaScript FFIs, and a double holds integers up to 2^53 exactly.
 * - Every function returns a castor_status unless its comment says otherwise. After a failure castor_last_error() returns the message
 *   (one per thread). No function aborts the process, and no C++ exception leaves the library.
 * - The functions are those of KINDS of ops, not of single ops: `op` is a number within the kind, found by name in castor_op_names().
 * - The calls of one thread run in order on every device. A call may return before its work has run, and frees are ordered like other
 *   work. Threads do not wait for each other, except where one uses memory of another: the work that it queues then runs after the work
 *   that the other has queued. Only castor_read, castor_read_finish, castor_synchronize and copies from a GPU to the CPU wait. Errors of
 *   earlier work (an index out of range, an integer divided by 0) are reported by these calls, with the name of the op.
 * - Kernels keep no state. Any thread may call any function.
 * - The device of a call is the device of its views. All views of one call must be on one device. */
#ifndef CASTOR_H
#define CASTOR_H
#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

#define CASTOR_ABI_VERSION 9
#define CASTOR_MAX_RANK 8
#define CASTOR_API __attribute__((visibility("default")))

typedef enum castor_status {
  CASTOR_OK = 0,
  CASTOR_ARGUMENT = 1,      /* an argument no correct caller passes: bad address, unknown op, wrong count; a tensor holds values that
                             * the op is not defined for, as a divisor of integers that is 0 */
  CASTOR_SHAPE = 2,         /* sizes that do not fit together, a view that reaches outside its storage */
  CASTOR_DTYPE = 3,         /* a dtype this op has no kernel for */
  CASTOR_DEVICE = 4,        /* views of two devices, or a device that is not there */
  CASTOR_INDEX = 5,         /* an index tensor holds a value outside its axis */
  CASTOR_OUT_OF_MEMORY = 6,
  CASTOR_DISPOSED = 7,      /* a handle that is not that of a live storage */
  CASTOR_INTERNAL = 8,      /* a bug of the library */
  CASTOR_CAPTURE = 9,       /* what cannot be captured in a graph, or a capture out of order */
  CASTOR_LOST = 10,         /* an earlier kernel crashed the device: nothing runs on it any more in this process */
  CASTOR_ABORTED = 11       /* the stream of the work was cancelled */
} castor_status;

typedef enum castor_dtype {
  CASTOR_FLOAT32 = 0, CASTOR_FLOAT16 = 1, CASTOR_BFLOAT16 = 2, CASTOR_FLOAT64 = 3,
  CASTOR_INT32 = 4, CASTOR_INT64 = 5, CASTOR_UINT8 = 6, CASTOR_BOOL = 7
} castor_dtype;

/* A device is its kind plus 256 times its index. */
typedef enum castor_device_kind { CASTOR_CPU = 0, CASTOR_CUDA = 1 } castor_device_kind;

/* A storage is a block of device memory. Its handle is a number that is never used again while the process lives. 0 is no storage. */
typedef double castor_handle;

/* The address of a castor_view, or of an array of them, in host memory. 0 means "absent" where a comment allows it. */
typedef double castor_address;

/* A tensor argument of 152 bytes. Every call checks it against the real size of the storage. With storage == 0 it is a constant: rank 0,
 * the given dtype, and its value in `offset`. Only inputs may be constants. */
typedef struct castor_view {
  castor_handle storage;
  double offset;                        /* of the first element, in elements of dtype */
  int32_t dtype;                        /* castor_dtype */
  int32_t rank;                         /* 0 .. CASTOR_MAX_RANK */
  double size[CASTOR_MAX_RANK];         /* outermost first; entries past rank are ignored */
  double stride[CASTOR_MAX_RANK];       /* in elements, may be 0 (broadcast, inputs only) or negative */
} castor_view;

/* ---- library ------------------------------------------------------------------------------------------------- */

CASTOR_API int32_t castor_abi_version(void);
/* One line for each kind: its name, then the names of its ops in the order of their numbers, separated by spaces. */
CASTOR_API const char *castor_op_names(void);
/* The message of this thread's last failure. */
CASTOR_API const char *castor_last_error(void);
/* JSON. For the CPU: {"available":true,"name":"...","isa":"avx2","threads":2,"products":{"float32":"...","float16":"...",
 * "bfloat16":"..."}}, where products says how matrix products of the dtype are computed. For a GPU: name, architecture (90), memory
 * (bytes), multiprocessors, driver and runtime ("13.0"), streams, matmul (the library that computes matrix products). Also emulated, where
 * the device, or the CPU's unit for products, is an emulator. For a missing device: {"available":false,"reason":"..."}. */
CASTOR_API const char *castor_describe(int32_t device);
CASTOR_API int32_t castor_set_threads(int32_t count);
/* The precision of the factors of products and convolutions of float32, where a lower one is faster; sums stay float32. 0: float32, until
 * set. 1: at least tf32 (10 bits of mantissa). 2: at least bfloat16 (7 bits). */
CASTOR_API int32_t castor_set_float32_precision(int32_t precision);

/* ---- storage ------------------------------------------------------------------------------------------------- */

/* Returns a handle, or 0 on failure (status in castor_last_status). bytes may be 0. The contents are undefined. */
CASTOR_API castor_handle castor_alloc(int32_t device, double bytes);
CASTOR_API int32_t castor_last_status(void);
CASTOR_API int32_t castor_free(castor_handle storage);
CASTOR_API int32_t castor_free_many(const double *handles, int32_t count);
/* When this thread ends, the storages and graphs that it has created after this call and not freed are freed. */
CASTOR_API int32_t castor_free_at_exit(void);
/* Returns a storage that shows the same memory as another one, which any thread may have made, or 0 on failure (status in
 * castor_last_status). The memory is freed with the last storage that shows it. From here on nothing can be written to it. */
CASTOR_API castor_handle castor_share(castor_handle storage);
/* Copies from the host to a storage (returns when the host's memory may be changed again), and back (waits for the work queued before).
 * Offset and length are in bytes. */
CASTOR_API int32_t castor_write(castor_handle storage, double offset, const void *host, double bytes);
CASTOR_API int32_t castor_read(castor_handle storage, double offset, void *host, double bytes);
/* The same without waiting. castor_read_start queues the read of the bytes as they are now, and this thread is told id (an integer above
 * 0 that it chooses) when they have arrived. castor_read_finish, called on the same thread, then copies them to the host, or fails as
 * castor_read does. The storage may be freed in between. */
CASTOR_API int32_t castor_read_start(castor_handle storage, double offset, double bytes, double id);
CASTOR_API int32_t castor_read_finish(double id, void *host);
/* Ends a read whose bytes nobody wants any more, in place of castor_read_finish. */
CASTOR_API int32_t castor_read_drop(double id);
CASTOR_API int32_t castor_synchronize(int32_t device);
/* stats[10]: live bytes, live storages, peak of live bytes, cached bytes, number of allocations so far, limit in bytes (0 = none), bytes
 * of memory of the device, bytes of it that are free now, bytes of the last request that failed, bytes that graphs hold besides live
 * storages. */
CASTOR_API int32_t castor_memory(int32_t device, double *stats);
CASTOR_API int32_t castor_memory_reset_peak(int32_t device);
CASTOR_API int32_t castor_memory_release_cached(int32_t device);
/* Fails with CASTOR_OUT_OF_MEMORY unless the device has room for so many bytes that the caller is about to allocate by other means. Cached
 * blocks are given back where that helps. */
CASTOR_API int32_t castor_memory_expect(int32_t device, double bytes);
/* Allocations that would raise the live bytes above the limit fail with CASTOR_OUT_OF_MEMORY. 0 removes the limit. */
CASTOR_API int32_t castor_memory_set_limit(int32_t device, double bytes);
/* The share (0 to 1) of the device's memory that the process may allocate, cached blocks included. */
CASTOR_API int32_t castor_memory_set_fraction(int32_t device, double fraction);
/* Sets the function, void (*)(double id), that a thread of the library calls to tell this thread that work is done. A thread without
 * such a function calls castor_next_done. */
CASTOR_API int32_t castor_set_wake(castor_address callback);
/* Returns the id of completed work of this thread, each id once, or 0 if there is none. */
CASTOR_API double castor_next_done(void);
/* Tells this thread id when all the work that it has queued on the device so far is done. */
CASTOR_API int32_t castor_notify(int32_t device, double id);

/* ---- streams: calls of a thread to the CPU, which run later and in order on a thread of the library ------------------------ */

/* Returns a handle, or 0 on failure (status in castor_last_status). threads: how many threads each kernel may use; streams with the same
 * number run side by side, as many as fit on the processors. 0: all threads, one stream at a time. */
CASTOR_API castor_handle castor_stream_begin(int32_t threads);
/* From here on, the calls of this thread that work on the CPU are added to a stream and return at once, and castor_read_start reads
 * what the calls before it compute. 0: they run at once again. Calls wait for work of other streams on the same storages where one of both
 * writes. When a call fails in a stream, what was added to it before the failure was told is dropped: castor_read_finish tells it, or
 * castor_stream_end. */
CASTOR_API int32_t castor_stream_use(castor_handle stream);
/* Tells this thread id when the work that the stream has now is done or dropped. */
CASTOR_API int32_t castor_stream_notify(castor_handle stream, double id);
/* Drops the work of a stream that has not begun, and all that is added to it later. Its failure is CASTOR_ABORTED. */
CASTOR_API int32_t castor_stream_cancel(castor_handle stream);
/* Frees the handle. The work that the stream has still runs. Fails with the failure of its work that was not told. */
CASTOR_API int32_t castor_stream_end(castor_handle stream);

/* ---- graphs: the calls of a thread on a device, recorded once and replayed any number of times ---------------- */

/* From here to castor_capture_end, the calls of this thread on this device are recorded and not run. Storages created meanwhile live in
 * memory of the graph and contain what the last replay wrote. A call that waits for the device or copies host data fails with
 * CASTOR_CAPTURE, and the capture continues. Seed and offset are the state of the random generator: all random calls must use this seed. */
CASTOR_API int32_t castor_capture_begin(int32_t device, double seed, double offset);
/* Returns a handle, or 0 on failure (status in castor_last_status). The capture ends in either case. */
CASTOR_API castor_handle castor_capture_end(int32_t device);
CASTOR_API int32_t castor_capture_abort(int32_t device);
/* Queues the graph. Its random calls draw from (seed, offset) onwards, as they did from the seed and offset of the capture. */
CASTOR_API int32_t castor_graph_replay(castor_handle graph, double seed, double offset);
/* Storages that were created in the graph live until they are freed. */
CASTOR_API int32_t castor_graph_free(castor_handle graph);

/* ---- creation ------------------------------------------------------------------------------------------------ */

CASTOR_API int32_t castor_fill(castor_address out, double value);
/* out[i] = start + i * step. out has rank 1. */
CASTOR_API int32_t castor_arange(castor_address out, double start, double step);
/* op: uniform [p0, p1), normal (mean p0, standard deviation p1), bernoulli (p0), exponential (rate p0), randint [p0, p1). Element i of
 * out (row-major) depends only on (seed, offset, i): Philox4x32-10, key = seed, counter = (offset, i / 4). */
CASTOR_API int32_t castor_random(int32_t op, castor_address out, double seed, double offset, double p0, double p1);
/* Checks the weights that samples are drawn by. holds: bool, contiguous, one element for each row of weights. If one is false, the call
 * fails with CASTOR_ARGUMENT: for op weights because a weight of the row is negative or not finite, for op enoughWeights because fewer
 * weights are above 0 than samples are drawn. */
CASTOR_API int32_t castor_expect(int32_t op, castor_address holds);

/* ---- elementwise: inputs are broadcast to out; layouts and dtypes may differ, the arithmetic runs in the widest type ---- */

/* out = a, converted: rounds to nearest even, keeps NaN, overflows to infinity; to bool as a != 0. The devices may differ. */
CASTOR_API int32_t castor_copy(castor_address a, castor_address out);
CASTOR_API int32_t castor_unary(int32_t op, castor_address a, castor_address out, double p0, double p1);
/* For integers, a divisor of 0 (floorDivide, remainder, fmod) and a negative exponent fail with CASTOR_ARGUMENT. */
CASTOR_API int32_t castor_binary(int32_t op, castor_address a, castor_address b, castor_address out, double p0, double p1);
/* The same on the first n elements of whole storages, which have one dtype: fewer arguments and checks, for small tensors. The result is
 * written to out, or if that is 0 to a new storage of n elements. They return its handle, or 0 on failure (status in
 * castor_last_status). */
CASTOR_API castor_handle castor_flat_unary(int32_t op, int32_t dtype, double n, castor_handle a, double p0, double p1);
CASTOR_API castor_handle castor_flat_binary(int32_t op, int32_t dtype, double n, castor_handle a, castor_handle b, castor_handle out,
                                            double p0, double p1);
CASTOR_API int32_t castor_compare(int32_t op, castor_address a, castor_address b, castor_address out);
CASTOR_API int32_t castor_ternary(int32_t op, castor_address a, castor_address b, castor_address c, castor_address out, double p0);
/* out = keep(i) ? a / (1 - p) : 0, where keep depends on (seed, offset, i). Applied to a gradient, the same call is its own backward. */
CASTOR_API int32_t castor_dropout(castor_address a, castor_address out, double p, double seed, double offset);
/* Keeps the elements of the last two axes with column - row <= diagonal (lower) or >= diagonal (upper) and writes 0 elsewhere. */
CASTOR_API int32_t castor_triangle(int32_t upper, castor_address a, castor_address out, int32_t diagonal);

/* ---- along axes ---------------------------------------------------------------------------------------------- */

/* out has the rank of a, with size 1 on the reduced axes (bit i of axes = axis i). p0 is the order of norm and the correction of var and
 * std. argmax and argmin reduce one axis or all and write the index within it (out int64). max, min, argmax and argmin treat NaN as the
 * extreme. */
CASTOR_API int32_t castor_reduce(int32_t op, castor_address a, castor_address out, int32_t axes, double p0);
CASTOR_API int32_t castor_scan(int32_t op, castor_address a, castor_address out, int32_t axis);
CASTOR_API int32_t castor_softmax(int32_t op, castor_address a, castor_address out, int32_t axis);
/* grad is the gradient of the forward output, y its value. */
CASTOR_API int32_t castor_softmax_backward(int32_t op, castor_address grad, castor_address y, castor_address out, int32_t axis);
/* a (rows, n) is normalised over n. weight and bias (n) may be absent. mean and rstd (rows) are written in float32 (float64 for a
 * float64 a). rmsNorm has no mean. */
CASTOR_API int32_t castor_norm(int32_t op, castor_address a, castor_address weight, castor_address bias, castor_address out,
                               castor_address mean, castor_address rstd, double eps);
/* grad_a, grad_weight and grad_bias are each written unless absent. */
CASTOR_API int32_t castor_norm_backward(int32_t op, castor_address grad, castor_address a, castor_address weight,
                                        castor_address mean, castor_address rstd, castor_address grad_a,
                                        castor_address grad_weight, castor_address grad_bias);
/* a (N, C, L): out = (a - mean) rstd weight + bias. weight and bias (C) may be absent. `groups` groups of neighbouring channels share
 * statistics. groupNorm: each sample has its own, mean and rstd are (N * groups). batchNorm: the whole batch shares them, groups is C,
 * mean and rstd are (C); running_mean and running_var (C), unless absent, become (1 - momentum) running + momentum batch, with the
 * unbiased variance. batchNormEval: the running statistics are used, and only read. mean and rstd are written in float32 (float64 for a
 * float64 a). */
CASTOR_API int32_t castor_batch_group_norm(int32_t op, castor_address a, castor_address weight, castor_address bias, castor_address out,
                                           castor_address mean, castor_address rstd, castor_address running_mean,
                                           castor_address running_var, int32_t groups, double momentum, double eps);
/* grad_a, grad_weight and grad_bias are each written unless absent. */
CASTOR_API int32_t castor_batch_group_norm_backward(int32_t op, castor_address grad, castor_address a, castor_address weight,
                                                    castor_address mean, castor_address rstd, castor_address grad_a,
                                                    castor_address grad_weight, castor_address grad_bias, int32_t groups);
/* logits (rows, classes), target (rows) of int32 or int64. loss (rows) is float32 (float64 for float64 logits), logsumexp (rows)
 * float64. A target equal to ignore_index gives loss 0; any other target outside the classes fails with CASTOR_INDEX. */
CASTOR_API int32_t castor_cross_entropy(castor_address logits, castor_address target, castor_address loss,
                                        castor_address logsumexp, double ignore_index, double smoothing);
/* grad (rows) is the gradient of each row's loss. out (rows, classes). */
CASTOR_API int32_t castor_cross_entropy_backward(castor_address grad, castor_address logits, castor_address target,
                                                 castor_address logsumexp, castor_address out, double ignore_index,
                                                 double smoothing);
/* The k largest (descending) or smallest elements along axis in order, stable, with NaN as the largest. values and indices (int64) have
 * size k on the axis. With k = the size of the axis this is a sort. */
CASTOR_API int32_t castor_sort(castor_address a, castor_address values, castor_address indices, int32_t axis, int32_t descending);

/* ---- indexing: index int32 or int64, negative counts from the end, checked -------------------------------------- */

/* op gather: out[..i..] = a[..index[..i..]..], index has out's shape.  op indexSelect: index (n), out has size n on axis. */
CASTOR_API int32_t castor_gather(int32_t op, castor_address a, castor_address index, castor_address out, int32_t axis);
/* In place on out, the mirror of castor_gather: scatter, scatterAdd (index has the shape of source, or source is a constant), indexCopy,
 * indexAdd (index (n)). Sums run in a fixed order. */
CASTOR_API int32_t castor_scatter(int32_t op, castor_address out, castor_address index, castor_address source, int32_t axis);

/* ---- products ------------------------------------------------------------------------------------------------ */

/* out (..., m, n) = activation(a (..., m, k) b (..., k, n) + bias). The batch axes are equal (stride 0 broadcasts). bias (n) may be
 * absent. Sums are accumulated in float32 (float64 and int64 for these dtypes). activation: an op of the kind "activation". On the CPU b of
 * a product of two matrices may be packed: float32 panels (ceil(n / columns), k, columns), where columns is the number that
 * castor_describe gives for the dtype of a as "panel" and column j of b is column j % columns of panel j / columns. Then the rows of out do
 * not depend on each other in any bit. */
CASTOR_API int32_t castor_matmul(castor_address a, castor_address b, castor_address bias, castor_address out, int32_t activation);
/* geometry[7]: stride h, w; padding h, w; dilation h, w; groups. input (N, C, H, W), weight (O, C / groups, kH, kW), output (N, O, oH,
 * oW). op forward: a input, b weight, bias (O) may be absent. inputGrad: a gradient of the output, b weight. weightGrad: a input, b
 * gradient of the output. */
CASTOR_API int32_t castor_convolution(int32_t op, castor_address a, castor_address b, castor_address bias, castor_address out,
                                      const int32_t *geometry);
/* geometry[9]: kernel h, w; stride h, w; padding h, w; dilation h, w; whether averages count the padding. a (N, C, H, W). indices
 * (int64, position within H * W) are written by op max and absent for op avg. */
CASTOR_API int32_t castor_pool(int32_t op, castor_address a, castor_address out, castor_address indices, const int32_t *geometry);
CASTOR_API int32_t castor_pool_backward(int32_t op, castor_address grad, castor_address indices, castor_address out,
                                        const int32_t *geometry);
/* q (B, H, L, E), k (B, H, S, E), v (B, H, S, F), out (B, H, L, F). mask broadcasts to (B, H, L, S) and may be absent: where a bool mask
 * is true the score is kept, a float mask is added to it. causal: query i sees the keys j <= i. logsumexp (B, H, L) is float32 (float64
 * for a float64 q). Dropout as by castor_dropout with (p, seed, offset) on the probabilities (B, H, L, S), none for p = 0. */
CASTOR_API int32_t castor_attention(castor_address q, castor_address k, castor_address v, castor_address mask, castor_address out,
                                    castor_address logsumexp, double scale, int32_t causal, double p, double seed, double offset);
/* grad is the gradient of the forward output, out its value. */
CASTOR_API int32_t castor_attention_backward(castor_address grad, castor_address q, castor_address k, castor_address v,
                                             castor_address mask, castor_address out, castor_address logsumexp,
                                             castor_address grad_q, castor_address grad_k, castor_address grad_v,
                                             double scale, int32_t causal, double p, double seed, double offset);

/* ---- many tensors at once: views is an array of lists, each of `count` views ------------------------------------ */

/* Lists: gradients. In place: g *= inverse_scale (one float32; exactly 1 changes no bit). found_inf (one float32) becomes 1 when a value
 * is not finite before or after, and is never cleared. */
CASTOR_API int32_t castor_multi_unscale(castor_address views, int32_t count, castor_address inverse_scale, castor_address found_inf);
/* Lists: tensors. out (one float32) = the p-norm over all elements of all of them. p may be infinite. */
CASTOR_API int32_t castor_multi_norm(castor_address views, int32_t count, castor_address out, double p);
/* Lists: tensors. In place: t *= factor (one float32). */
CASTOR_API int32_t castor_multi_scale(castor_address views, int32_t count, castor_address factor);
/* Lists: parameters, gradients, momentum buffers (only with momentum), steps (one float32 each). hyper[6]: lr, momentum, dampening,
 * weight decay, nesterov, maximize. learning_rate (one float64, may be absent) is read on the device in place of that in hyper. Nothing is
 * written when found_inf (may be absent) is not 0. Where a step is 0 the momentum buffer is initialised. */
CASTOR_API int32_t castor_multi_sgd(castor_address views, int32_t count, const double *hyper, castor_address learning_rate,
                                    castor_address found_inf);
/* Lists: parameters, gradients, first moments, second moments, steps (one float32 each), largest second moments (only with amsgrad).
 * hyper[8]: lr, beta1, beta2, eps, weight decay, decoupled, amsgrad, maximize. learning_rate (one float64, may be absent) is read on the
 * device in place of that in hyper. Each step is incremented. Nothing is written when found_inf (may be absent) is not 0. */
CASTOR_API int32_t castor_multi_adam(castor_address views, int32_t count, const double *hyper, castor_address learning_rate,
                                     castor_address found_inf);
/* scale (float32), tracker (int32) and found_inf (float32) have one element each. hyper[5]: growth, backoff, interval, floor, ceiling. */
CASTOR_API int32_t castor_update_scale(castor_address scale, castor_address tracker, castor_address found_inf, const double *hyper);

#if defined(__cplusplus)
}
#endif
#endif
