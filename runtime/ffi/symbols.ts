import type { CType, Signature } from './types.ts';

/** A C function that returns a castor_status. */
const status = <const A extends readonly CType[]>(...args: A) => ({ args, returns: 'i32' }) as const;

/** The C functions of abi/castor.h, in the same order. A test compares the two. */
export const symbols = {
  castor_abi_version: { args: [], returns: 'i32' },
  castor_op_names: { args: [], returns: 'cstring' },
  castor_last_error: { args: [], returns: 'cstring' },
  castor_describe: { args: ['i32'], returns: 'cstring' },
  castor_set_threads: status('i32'),
  castor_set_float32_precision: status('i32'),

  castor_alloc: { args: ['i32', 'f64'], returns: 'f64' },
  castor_last_status: status(),
  castor_free: status('f64'),
  castor_free_many: status('buffer', 'i32'),
  castor_free_at_exit: status(),
  castor_share: { args: ['f64'], returns: 'f64' },
  castor_write: status('f64', 'f64', 'buffer', 'f64'),
  castor_read: status('f64', 'f64', 'buffer', 'f64'),
  castor_read_start: status('f64', 'f64', 'f64', 'f64'), // storage, offset, bytes, id
  castor_read_finish: status('f64', 'buffer'), // id, host
  castor_read_drop: status('f64'),
  castor_synchronize: status('i32'),
  castor_memory: status('i32', 'buffer'),
  castor_memory_reset_peak: status('i32'),
  castor_memory_release_cached: status('i32'),
  castor_memory_expect: status('i32', 'f64'),
  castor_memory_set_limit: status('i32', 'f64'),
  castor_memory_set_fraction: status('i32', 'f64'),
  castor_set_wake: status('f64'),
  castor_next_done: { args: [], returns: 'f64' },
  castor_notify: status('i32', 'f64'),

  castor_stream_begin: { args: ['i32'], returns: 'f64' }, // threads
  castor_stream_use: status('f64'),
  castor_stream_notify: status('f64', 'f64'), // stream, id
  castor_stream_cancel: status('f64'),
  castor_stream_end: status('f64'),

  castor_capture_begin: status('i32', 'f64', 'f64'), // device, seed, offset
  castor_capture_end: { args: ['i32'], returns: 'f64' },
  castor_capture_abort: status('i32'),
  castor_graph_replay: status('f64', 'f64', 'f64'), // graph, seed, offset
  castor_graph_free: status('f64'),

  castor_fill: status('f64', 'f64'), // out, value
  castor_arange: status('f64', 'f64', 'f64'), // out, start, step
  castor_random: status('i32', 'f64', 'f64', 'f64', 'f64', 'f64'), // op, out, seed, offset, p0, p1
  castor_expect: status('i32', 'f64'), // op, holds

  castor_copy: status('f64', 'f64'), // a, out
  castor_unary: status('i32', 'f64', 'f64', 'f64', 'f64'), // op, a, out, p0, p1
  castor_binary: status('i32', 'f64', 'f64', 'f64', 'f64', 'f64'), // op, a, b, out, p0, p1
  castor_flat_unary: { args: ['i32', 'i32', 'f64', 'f64', 'f64', 'f64'], returns: 'f64' }, // op, dtype, n, a, p0, p1
  castor_flat_binary: { args: ['i32', 'i32', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64'], returns: 'f64' }, // op, dtype, n, a, b, out, p0, p1
  castor_compare: status('i32', 'f64', 'f64', 'f64'), // op, a, b, out
  castor_ternary: status('i32', 'f64', 'f64', 'f64', 'f64', 'f64'), // op, a, b, c, out, p0
  castor_dropout: status('f64', 'f64', 'f64', 'f64', 'f64'), // a, out, p, seed, offset
  castor_triangle: status('i32', 'f64', 'f64', 'i32'), // upper, a, out, diagonal

  castor_reduce: status('i32', 'f64', 'f64', 'i32', 'f64'), // op, a, out, axes, p0
  castor_scan: status('i32', 'f64', 'f64', 'i32'), // op, a, out, axis
  castor_softmax: status('i32', 'f64', 'f64', 'i32'), // op, a, out, axis
  castor_softmax_backward: status('i32', 'f64', 'f64', 'f64', 'i32'), // op, grad, y, out, axis
  castor_norm: status('i32', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64'), // op, a, weight, bias, out, mean, rstd, eps
  castor_norm_backward: status('i32', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64'), // op, grad, a, weight, mean, rstd, grad_a, grad_weight, grad_bias
  castor_batch_group_norm: status('i32', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'i32', 'f64', 'f64'), // op, a, weight, bias, out, mean, rstd, running_mean, running_var, groups, momentum, eps
  castor_batch_group_norm_backward: status('i32', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'i32'), // op, grad, a, weight, mean, rstd, grad_a, grad_weight, grad_bias, groups
  castor_cross_entropy: status('f64', 'f64', 'f64', 'f64', 'f64', 'f64'), // logits, target, loss, logsumexp, ignore_index, smoothing
  castor_cross_entropy_backward: status('f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64'), // grad, logits, target, logsumexp, out, ignore_index, smoothing
  castor_sort: status('f64', 'f64', 'f64', 'i32', 'i32'), // a, values, indices, axis, descending

  castor_gather: status('i32', 'f64', 'f64', 'f64', 'i32'), // op, a, index, out, axis
  castor_scatter: status('i32', 'f64', 'f64', 'f64', 'i32'), // op, out, index, source, axis

  castor_matmul: status('f64', 'f64', 'f64', 'f64', 'i32'), // a, b, bias, out, activation
  castor_convolution: status('i32', 'f64', 'f64', 'f64', 'f64', 'buffer'), // op, a, b, bias, out, geometry
  castor_pool: status('i32', 'f64', 'f64', 'f64', 'buffer'), // op, a, out, indices, geometry
  castor_pool_backward: status('i32', 'f64', 'f64', 'f64', 'buffer'), // op, grad, indices, out, geometry
  castor_attention: status('f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'f64', 'i32', 'f64', 'f64', 'f64'), // q, k, v, mask, out, logsumexp, scale, causal, p, seed, offset
  castor_attention_backward: status(
    'f64',
    'f64',
    'f64',
    'f64',
    'f64',
    'f64',
    'f64',
    'f64',
    'f64',
    'f64',
    'f64',
    'i32',
    'f64',
    'f64',
    'f64',
  ), // grad, q, k, v, mask, out, logsumexp, grad_q, grad_k, grad_v, scale, causal, p, seed, offset

  castor_multi_unscale: status('f64', 'i32', 'f64', 'f64'), // views, count, inverse_scale, found_inf
  castor_multi_norm: status('f64', 'i32', 'f64', 'f64'), // views, count, out, p
  castor_multi_scale: status('f64', 'i32', 'f64'), // views, count, factor
  castor_multi_sgd: status('f64', 'i32', 'buffer', 'f64', 'f64'), // views, count, hyper, learning_rate, found_inf
  castor_multi_adam: status('f64', 'i32', 'buffer', 'f64', 'f64'), // views, count, hyper, learning_rate, found_inf
  castor_update_scale: status('f64', 'f64', 'f64', 'buffer'), // scale, growth tracker, found_inf, hyper
} as const satisfies Record<string, Signature>;
