/** Computes from the arguments of a native call the bytes that its kernels read and write, and the multiplications they do. */
import { opNumbers } from '../../runtime/ffi/library.ts';
import { dtypeOf, viewAt, VIEW_BYTES, type View } from './views.ts';

/** The unit of a GPU that computes the products of a call. */
export type Unit = 'half' | 'float32';

/** A call, with what it must at least move and multiply. */
export interface Call {
  /** The op, and the dtype in which it computes. */
  readonly name: string;
  readonly launches: number;
  /** Bytes that are read and written in the memory of the device, each once. */
  readonly bytes: number;
  /** Floating-point operations of products; a multiply-add counts as two. */
  readonly flops: number;
  readonly unit: Unit;
}
type Cost = Omit<Call, 'launches'>;

const bytesOf = (...views: (View | null)[]): number => views.reduce((sum, view) => sum + (view?.bytes ?? 0), 0);
const plain = (name: string, views: (View | null)[]): Cost => ({
  name: `${name} ${views.find(view => view !== null)!.dtype}`,
  bytes: bytesOf(...views),
  flops: 0,
  unit: 'float32',
});

const opName = (kind: string, number: number): string => {
  for (const [name, each] of opNumbers.get(kind)!) if (each === number) return name;
  throw new Error(`there is no ${kind} op ${number}`);
};

/** Calls whose arguments are views, each of which is read or written once. `op` is the kind of the op of argument 0. */
const simple: Readonly<Record<string, { op?: string; name?: string; views: readonly number[] }>> = {
  castor_copy: { name: 'copy', views: [1, 0] },
  castor_fill: { name: 'fill', views: [0] },
  castor_arange: { name: 'arange', views: [0] },
  castor_random: { op: 'random', views: [1] },
  castor_unary: { op: 'unary', views: [2, 1] },
  castor_binary: { op: 'binary', views: [3, 1, 2] },
  castor_compare: { op: 'compare', views: [1, 2, 3] },
  castor_ternary: { op: 'ternary', views: [4, 1, 2, 3] },
  castor_dropout: { name: 'dropout', views: [1, 0] },
  castor_triangle: { name: 'triangle', views: [1, 2] },
  castor_reduce: { op: 'reduce', views: [1, 2] },
  castor_scan: { op: 'scan', views: [1, 2] },
  castor_softmax: { op: 'softmax', views: [1, 2] },
  castor_softmax_backward: { name: 'softmaxBackward', views: [1, 2, 3] },
  castor_norm: { op: 'norm', views: [1, 2, 3, 4, 5, 6] },
  castor_cross_entropy: { name: 'crossEntropy', views: [0, 1, 2, 3] },
  castor_cross_entropy_backward: { name: 'crossEntropyBackward', views: [1, 0, 2, 3, 4] },
};

function matmul(a: View, b: View, bias: View | null, out: View): Cost {
  const [m, n] = out.sizes.slice(-2) as [number, number];
  const batch = out.sizes.slice(0, -2).reduce((product, size) => product * size, 1);
  const half = a.dtype === 'float16' || a.dtype === 'bfloat16';
  return {
    name: `matmul ${a.dtype}`,
    bytes: bytesOf(a, b, bias, out),
    flops: 2 * batch * m * n * a.sizes.at(-1)!,
    unit: half ? 'half' : 'float32',
  };
}

/** Attention makes `products` matrix products of queries by keys, or of half of those if it is causal. */
function attention(name: string, q: View, k: View, views: (View | null)[], products: number, causal: boolean): Cost {
  const [batch, heads, queries, width] = q.sizes as [number, number, number, number];
  const pairs = batch * heads * queries * k.sizes[2]! * (causal ? 0.5 : 1);
  const half = q.dtype === 'float16' || q.dtype === 'bfloat16';
  return {
    name: `${name} ${q.dtype}`,
    bytes: bytesOf(...views),
    flops: products * 2 * pairs * width,
    unit: half ? 'half' : 'float32',
  };
}

/** A row is only read, or changed, if an index names it. */
function indexed(kind: string, args: readonly number[]): Cost {
  const name = opName(kind, args[0]!);
  const [first, index, third] = [viewAt(args[1]!)!, viewAt(args[2]!)!, viewAt(args[3]!)!];
  const accesses = kind === 'gather' ? 2 : 3; // read and written; or source read, and its place read and written
  const rows = third;
  return { name: `${name} ${first.dtype}`, bytes: bytesOf(index) + accesses * rows.bytes, flops: 0, unit: 'float32' };
}

/** Views of several lists of `count` tensors each, of which each is accessed a number of times. */
function many(name: string, address: number, count: number, accesses: readonly number[]): Cost {
  const of = (list: number): number =>
    Array.from({ length: count }, (_, i) => viewAt(address + (list * count + i) * VIEW_BYTES)!.bytes).reduce(
      (a, b) => a + b,
      0,
    );
  const bytes = accesses.reduce((sum, times, list) => sum + times * of(list), 0);
  return { name, bytes, flops: 0, unit: 'float32' };
}

const others: Readonly<Record<string, (args: readonly number[]) => Cost>> = {
  castor_flat_unary: ([op, dtype, n]) => flat('unary', op!, dtype!, 2 * n!),
  castor_flat_binary: ([op, dtype, n]) => flat('binary', op!, dtype!, 3 * n!),
  castor_norm_backward: args => plain('normBackward', args.slice(1, 9).map(viewAt)),
  castor_gather: args => indexed('gather', args),
  castor_scatter: args => indexed('scatter', args),
  castor_matmul: args => {
    const [a, b, bias, out] = args.slice(0, 4).map(viewAt);
    return matmul(a!, b!, bias!, out!);
  },
  castor_attention: args => {
    const views = args.slice(0, 6).map(viewAt);
    return attention('attention', views[0]!, views[1]!, views, 2, args[7] !== 0);
  },
  castor_attention_backward: args => {
    const views = args.slice(0, 10).map(viewAt);
    return attention('attentionBackward', views[1]!, views[2]!, views, 5, args[11] !== 0);
  },
  castor_multi_unscale: ([views, count]) => many('unscale', views!, count!, [2]),
  castor_multi_norm: ([views, count]) => many('norm of gradients', views!, count!, [1]),
  castor_multi_scale: ([views, count]) => many('scale of gradients', views!, count!, [2]),
  // Parameters, gradients and the two averages. All but the gradients are written as well.
  castor_multi_adam: ([views, count]) => many('AdamW', views!, count!, [2, 1, 2, 2]),
};

function flat(kind: string, op: number, dtype: number, elements: number): Cost {
  const { name, bytes } = dtypeOf(dtype);
  return { name: `${opName(kind, op)} ${name}`, bytes: elements * bytes, flops: 0, unit: 'float32' };
}

/** Calls that launch nothing. */
const silent =
  /^castor_(alloc|free|free_many|last_status|last_error|memory|capture_\w+|synchronize|set_\w+|graph_\w+)$/;

/** Returns the cost of a call, or null for a call that runs no kernel. */
export function costOf(name: string, args: readonly number[]): Cost | null {
  if (silent.test(name)) return null;
  const known = simple[name];
  if (known)
    return plain(
      known.name ?? opName(known.op!, args[0]!),
      known.views.map(i => viewAt(args[i]!)),
    );
  const other = others[name];
  if (!other)
    throw new Error(`the model does not know what ${name} reads and writes: add it to scripts/gpuModel/calls.ts`);
  return other(args);
}
