/**
 * Every function of the C ABI that takes tensors gives the same for each layout of each of them, results too, as it
 * gives for contiguous ones, and writes nothing between the elements or around them. Through the methods of a tensor,
 * most results are contiguous.
 */
import { expect, test } from 'bun:test';
import { empty, tensor, tidy, type DType, type Tensor } from 'castor';
import { native, opNumber, opNumbers } from '../runtime/ffi/library.ts';
import { describe as writeView, describeList, type Viewable } from '../runtime/ffi/view.ts';
import { Dice } from './dice.ts';
import { onEmulator } from './setup.ts';

/** A tensor argument: its shape, its dtype, and what its element i is before the call. */
interface T {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly value: (i: number) => number;
}
/** Tensors that take the address of one argument, as the calls on many tensors do. */
interface List {
  readonly list: readonly T[];
}
type Argument = T | List | number | Int32Array | Float64Array;
/** A stand-in for a dtype that the round chooses. */
type Make = (float: DType) => readonly Argument[];
const device = 'cpu';
type Row = readonly [name: string, fn: string, make: Make];

const numel = (shape: readonly number[]): number => shape.reduce((n, size) => n * size, 1);
const small = (i: number): number => ((i * 7) % 11) - 4;
const positive = (i: number): number => 0.25 * (1 + ((i * 7) % 11));
const t = (shape: readonly number[], dtype: DType, value: (i: number) => number = small): T => ({
  shape,
  dtype,
  value,
});
/** A tensor that the call writes. Its values before the call must not matter. */
const out = (shape: readonly number[], dtype: DType): T => t(shape, dtype, () => 77);
const bits = (i: number): number => Number(i % 3 !== 0);
const int32s = (...numbers: number[]): Int32Array => {
  const array = new Int32Array(new ArrayBuffer(64));
  array.set(numbers);
  return array;
};
const doubles = (...numbers: number[]): Float64Array => {
  const array = new Float64Array(new ArrayBuffer(128));
  array.set(numbers);
  return array;
};
/** The dtype of statistics, losses and positions in float32 or float64. */
const wide = (float: DType): DType => (float === 'float64' ? 'float64' : 'float32');

/** A shape with more elements than a tile has, one with fewer, and one whose rows are longer than a tile. */
const shapes: readonly (readonly [number, number])[] = [
  [2, 3],
  [33, 41],
  [3, 1100],
];
const each = (kind: string, make: (op: number, shape: readonly number[]) => Make, fn = `castor_${kind}`): Row[] =>
  [...opNumbers.get(kind)!].flatMap(([name, op]) =>
    shapes.map((shape): Row => [`${kind} ${name} of [${shape}]`, fn, make(op, shape)]),
  );

const elementwise: readonly Row[] = [
  ...each('unary', (op, shape) => f => [op, t(shape, f, positive), out(shape, f), 1, 2]),
  ...each('binary', (op, shape) => f => [op, t(shape, f, positive), t(shape, f, positive), out(shape, f), 1, 20]),
  ...each('compare', (op, shape) => f => [op, t(shape, f), t(shape, f, positive), out(shape, 'bool')]),
  ...each('ternary', (op, shape) => f => [
    op,
    op === opNumber('ternary', 'where') ? t(shape, 'bool', bits) : t(shape, f),
    t(shape, f, positive),
    t(shape, f, positive),
    out(shape, f),
    0.5,
  ]),
  ...shapes.flatMap((shape): Row[] => [
    [`copy of [${shape}]`, 'castor_copy', f => [t(shape, f), out(shape, f)]],
    [`copy to float32 of [${shape}]`, 'castor_copy', f => [t(shape, f), out(shape, 'float32')]],
    [`copy to float16 of [${shape}]`, 'castor_copy', f => [t(shape, f), out(shape, 'float16')]],
    [`fill of [${shape}]`, 'castor_fill', f => [out(shape, f), 3]],
    [`dropout of [${shape}]`, 'castor_dropout', f => [t(shape, f), out(shape, f), 0.5, 7, 3]],
    [`lower triangle of [${shape}]`, 'castor_triangle', f => [0, t(shape, f), out(shape, f), 1]],
    [`upper triangle of [${shape}]`, 'castor_triangle', f => [1, t(shape, f), out(shape, f), -1]],
    [`arange of [${numel(shape)}]`, 'castor_arange', f => [out([numel(shape)], f), 5, -2]],
  ]),
  ...['uniform', 'normal', 'bernoulli', 'exponential'].flatMap(name =>
    shapes.map((shape): Row => [
      `${name} of [${shape}]`,
      'castor_random',
      f => [opNumber('random', name), out(shape, f), 7, 3, 0.5, name === 'bernoulli' || name === 'exponential' ? 0 : 1],
    ]),
  ),
];

const along: readonly Row[] = [
  ...[1, 2, 3].flatMap(axes =>
    each('reduce', (op, shape) => f => {
      const name = [...opNumbers.get('reduce')!].find(([, number]) => number === op)![0];
      const kept = shape.map((size, axis) => (axes & (1 << axis) ? 1 : size));
      const positions = ['argmax', 'argmin', 'countNonzero'].includes(name);
      const dtype = positions ? 'int64' : ['any', 'all'].includes(name) ? 'bool' : f;
      return [op, t(shape, f, name === 'prod' ? bits : small), out(kept, dtype), axes, 1];
    }).map(([name, ...rest]): Row => [`${name} on axes ${axes}`, ...rest]),
  ),
  ...[0, 1].flatMap(axis => [
    ...each('scan', (op, shape) => f => [op, t(shape, f, bits), out(shape, f), axis]),
    ...each('softmax', (op, shape) => f => [op, t(shape, f), out(shape, f), axis]),
    ...each(
      'softmax',
      (op, shape) => f => [op, t(shape, f), t(shape, f, positive), out(shape, f), axis],
      'castor_softmax_backward',
    ),
    ...shapes.map((shape): Row => [
      `sort of [${shape}] on axis ${axis}`,
      'castor_sort',
      f => [t(shape, f), out(shape, f), out(shape, 'int64'), axis, 1],
    ]),
    ...shapes.map((shape): Row => [
      `the largest two of [${shape}] on axis ${axis}`,
      'castor_sort',
      f => [t(shape, f), out(shape.with(axis, 2), f), out(shape.with(axis, 2), 'int64'), axis, 1],
    ]),
    ...shapes.flatMap((shape): Row[] => {
      const size = shape[axis]!;
      const line = t([3], 'int64', i => ((i + 1) % size) - (i === 1 ? size : 0));
      const whole = t(shape, 'int64', i => i % size);
      const taken = shape.with(axis, 3);
      return [
        [
          `gather of [${shape}] on axis ${axis}`,
          'castor_gather',
          f => [opNumber('gather', 'gather'), t(shape, f), whole, out(shape, f), axis],
        ],
        [
          `indexSelect of [${shape}] on axis ${axis}`,
          'castor_gather',
          f => [opNumber('gather', 'indexSelect'), t(shape, f), line, out(taken, f), axis],
        ],
        ...['scatterAdd', 'indexAdd', 'indexCopy'].map((name): Row => {
          const index = name === 'scatterAdd' ? whole : name === 'indexCopy' ? t([2], 'int64', i => 1 - i) : line;
          const source = name === 'scatterAdd' ? shape : name === 'indexCopy' ? shape.with(axis, 2) : taken;
          return [
            `${name} of [${shape}] on axis ${axis}`,
            'castor_scatter',
            f => [opNumber('scatter', name), t(shape, f), index, t(source, f, positive), axis],
          ];
        }),
      ];
    }),
  ]),
];

const norms: readonly Row[] = shapes.flatMap((shape): Row[] => {
  const [rows, n] = shape;
  const [layer, rms] = [opNumber('norm', 'layerNorm'), opNumber('norm', 'rmsNorm')];
  const channels: readonly number[] = [2, 4, n];
  const group = (name: string): number => opNumber('batchGroupNorm', name);
  const line = (f: DType): T => t([4], f, positive);
  return [
    [
      `layerNorm of [${shape}]`,
      'castor_norm',
      f => [
        layer,
        t(shape, f),
        t([n], f, positive),
        t([n], f),
        out(shape, f),
        out([rows], wide(f)),
        out([rows], wide(f)),
        1e-5,
      ],
    ],
    [
      `rmsNorm of [${shape}]`,
      'castor_norm',
      f => [rms, t(shape, f), t([n], f, positive), 0, out(shape, f), 0, out([rows], wide(f)), 1e-5],
    ],
    [
      `gradients of layerNorm of [${shape}]`,
      'castor_norm_backward',
      f => [
        layer,
        t(shape, f),
        t(shape, f, positive),
        t([n], f, positive),
        t([rows], wide(f)),
        t([rows], wide(f), positive),
        out(shape, f),
        out([n], f),
        out([n], f),
      ],
    ],
    ...(['groupNorm', 'batchNorm', 'batchNormEval'] as const).flatMap((name): Row[] => {
      const groups = name === 'groupNorm' ? 2 : 4;
      const statistics = (f: DType): T => out([4], wide(f));
      const running = (f: DType): Argument[] =>
        name === 'groupNorm' ? [0, 0] : [t([4], wide(f)), t([4], wide(f), positive)];
      return [
        [
          `${name} of [${channels}]`,
          'castor_batch_group_norm',
          f => [
            group(name),
            t(channels, f),
            line(f),
            line(f),
            out(channels, f),
            statistics(f),
            statistics(f),
            ...running(f),
            groups,
            0.1,
            1e-5,
          ],
        ],
        [
          `gradients of ${name} of [${channels}]`,
          'castor_batch_group_norm_backward',
          f => [
            group(name),
            t(channels, f),
            t(channels, f, positive),
            line(f),
            t([4], wide(f)),
            t([4], wide(f), positive),
            out(channels, f),
            out([4], f),
            out([4], f),
            groups,
          ],
        ],
      ];
    }),
    [
      `cross entropy of [${shape}]`,
      'castor_cross_entropy',
      f => [t(shape, f), t([rows], 'int64', i => i % n), out([rows], wide(f)), out([rows], 'float64'), -100, 0.25],
    ],
    [
      `gradient of cross entropy of [${shape}]`,
      'castor_cross_entropy_backward',
      f => [
        t([rows], wide(f)),
        t(shape, f),
        t([rows], 'int64', i => i % n),
        t([rows], 'float64', () => 12),
        out(shape, f),
        -100,
        0.25,
      ],
    ],
  ];
});

/** Products of few rows, of few columns, and of more than a tile of both. */
const sizes = [
  [2, 3, 5],
  [1, 70, 130],
  [130, 70, 2],
  [67, 45, 53],
] as const;
const products: readonly Row[] = [
  ...sizes.map(([m, k, n]): Row => [
    `product of ${m} x ${k} and ${k} x ${n}`,
    'castor_matmul',
    f => [t([2, m, k], f), t([2, k, n], f), t([n], f), out([2, m, n], f), opNumber('activation', 'relu')],
  ]),
  ...(
    [
      [1, [2, 2]],
      [2, [1, 3]],
      [1, [1, 1]],
    ] as const
  ).flatMap(([stride, [kh, kw]]): Row[] => {
    const [h, w] = [9, 13];
    const image = [2, 4, h, w];
    const weight = [6, 2, kh, kw];
    const result = [2, 6, Math.floor((h + 2 - kh) / stride) + 1, Math.floor((w + 2 - kw) / stride) + 1];
    const geometry = int32s(stride, stride, 1, 1, 1, 1, 2);
    const op = (name: string): number => opNumber('convolution', name);
    const what = `convolution by ${kh} x ${kw} in steps of ${stride}`;
    return [
      [
        what,
        'castor_convolution',
        f => [op('forward'), t(image, f), t(weight, f), t([6], f), out(result, f), geometry],
      ],
      [
        `${what}, gradient of the input`,
        'castor_convolution',
        f => [op('inputGrad'), t(result, f), t(weight, f), 0, out(image, f), geometry],
      ],
      [
        `${what}, gradient of the weight`,
        'castor_convolution',
        f => [op('weightGrad'), t(image, f), t(result, f), 0, out(weight, f), geometry],
      ],
    ];
  }),
  ...[1, 2].flatMap((stride): Row[] => {
    const image = [2, 3, 8, 9];
    const result = [2, 3, Math.floor(7 / stride) + 1, Math.floor(8 / stride) + 1];
    const window = int32s(3, 3, stride, stride, 1, 1, 1, 1, 1);
    const [max, avg] = [opNumber('pool', 'max'), opNumber('pool', 'avg')];
    return [
      [
        `largest in steps of ${stride}`,
        'castor_pool',
        f => [max, t(image, f), out(result, f), out(result, 'int64'), window],
      ],
      [`mean in steps of ${stride}`, 'castor_pool', f => [avg, t(image, f), out(result, f), 0, window]],
      [
        `gradient of the largest in steps of ${stride}`,
        'castor_pool_backward',
        f => [max, t(result, f), t(result, 'int64', i => (i * 5) % 72), out(image, f), window],
      ],
      [
        `gradient of the mean in steps of ${stride}`,
        'castor_pool_backward',
        f => [avg, t(result, f), 0, out(image, f), window],
      ],
    ];
  }),
  ...(
    [
      [2, 4, 6],
      [1, 70, 140],
    ] as const
  ).flatMap(([heads, queries, keys]): Row[] => {
    const of = (length: number, features: number): number[] => [2, heads, length, features];
    const score = (i: number): number => small(i) / 8;
    const mask = (f: DType): T => t([2, heads, queries, keys], f, score);
    return [
      [
        `attention of ${queries} to ${keys}`,
        'castor_attention',
        f => [
          t(of(queries, 5), f, score),
          t(of(keys, 5), f, score),
          t(of(keys, 7), f),
          mask(f),
          out(of(queries, 7), f),
          out([2, heads, queries], wide(f)),
          0.5,
          1,
          0.25,
          7,
          3,
        ],
      ],
      [
        `gradients of attention of ${queries} to ${keys}`,
        'castor_attention_backward',
        f => [
          t(of(queries, 7), f, score),
          t(of(queries, 5), f, score),
          t(of(keys, 5), f, score),
          t(of(keys, 7), f, score),
          mask(f),
          t(of(queries, 7), f, score),
          t([2, heads, queries], wide(f), () => 5),
          out(of(queries, 5), f),
          out(of(keys, 5), f),
          out(of(keys, 7), f),
          0.5,
          0,
          0.25,
          7,
          3,
        ],
      ],
    ];
  }),
];

const lists: readonly Row[] = [[3], [1100], [40, 41]].flatMap((shape): Row[] => {
  const one = (f: DType, value = small): T => t(shape, f, value);
  const scalar = (value: number): T => t([], 'float32', () => value);
  const step = t([1], 'float32', () => 1);
  return [
    [`unscaling of [${shape}]`, 'castor_multi_unscale', f => [{ list: [one(f), one(f)] }, 2, scalar(0.5), scalar(0)]],
    [`norm of [${shape}]`, 'castor_multi_norm', f => [{ list: [one(f), one(f)] }, 2, out([], 'float32'), 2]],
    [`scaling of [${shape}]`, 'castor_multi_scale', f => [{ list: [one(f), one(f)] }, 2, scalar(0.5)]],
    [
      `sgd on [${shape}]`,
      'castor_multi_sgd',
      f => [
        { list: [one(f), one(f, positive), one(wide(f)), step] },
        1,
        doubles(0.5, 0.5, 0, 0.1, 1, 0),
        t([], 'float64', () => 0.25),
        0,
      ],
    ],
    [
      `adam on [${shape}]`,
      'castor_multi_adam',
      f => [
        { list: [one(f), one(f, positive), one(wide(f)), one(wide(f), positive), step, one(wide(f), positive)] },
        1,
        doubles(0.1, 0.9, 0.9, 1e-8, 0.1, 0, 1, 0),
        t([], 'float64', () => 0.25),
        0,
      ],
    ],
  ];
});

/** How the elements of a shape lie in a storage: the strides, the offset of the first, and the size of the storage. */
interface Layout {
  readonly strides: readonly number[];
  readonly offset: number;
  readonly length: number;
}
const AROUND = 5;
/** Any order of the axes, each forwards or backwards, with or without gaps. */
function layoutOf(shape: readonly number[], dice: Dice): Layout {
  const strides = shape.map(() => 0);
  const axes = shape.map((_, axis) => axis);
  let [step, offset] = [dice.pick([1, 1, 2]), AROUND];
  while (axes.length > 0) {
    const axis = dice.below(3) > 0 ? axes.pop()! : axes.splice(dice.below(axes.length), 1)[0]!;
    const back = dice.below(4) === 0;
    strides[axis] = back ? -step : step;
    if (back) offset += step * (shape[axis]! - 1);
    step *= shape[axis]! + (dice.below(4) === 0 ? 1 : 0);
  }
  return { strides, offset, length: step + 2 * AROUND };
}
const rowMajor = (shape: readonly number[]): Layout => ({
  strides: shape.map((_, axis) => numel(shape.slice(axis + 1))),
  offset: 0,
  length: numel(shape),
});

/** The positions of the elements in the storage, in row-major order of the shape. */
function places(shape: readonly number[], { strides, offset }: Layout): number[] {
  let list = [offset];
  for (const [axis, size] of shape.entries())
    list = list.flatMap(first => Array.from({ length: size }, (_, i) => first + i * strides[axis]!));
  return list;
}

interface Placed {
  readonly view: Viewable;
  readonly memory: Tensor;
  readonly at: readonly number[];
}
/** The value of the memory between the elements of a tensor. */
const GAP: number = 99;
function place({ shape, dtype, value }: T, layout: Layout): Placed {
  const at = places(shape, layout);
  const values = Array.from({ length: layout.length }, () => (dtype === 'bool' ? 1 : GAP));
  at.forEach((position, i) => (values[position] = value(i)));
  const memory = empty([layout.length], { dtype, device });
  memory.copy_(tensor(values, { dtype: 'float64', device }).to(dtype));
  const { storage, info } = memory;
  return { view: { storage, info, shape, strides: layout.strides, offset: layout.offset }, memory, at };
}

/** The outcome of a call: the status, or the elements of all tensors after it. */
function outcome([, fn, make]: Row, float: DType, layout: (shape: readonly number[]) => Layout) {
  // All tensors are made before any view of this call is written, since making one writes views too.
  const given = make(float);
  const placed = given.map(a => {
    if (typeof a === 'number' || ArrayBuffer.isView(a)) return [];
    return ('list' in a ? a.list : [a]).map(one => place(one, layout(one.shape)));
  });
  const args = given.map((a, slot) => {
    if (typeof a === 'number' || ArrayBuffer.isView(a)) return a;
    const views = placed[slot]!.map(({ view }) => view);
    return 'list' in a ? describeList(views) : writeView(slot, views[0]!);
  });
  const all = placed.flat();
  const call = (native as unknown as Record<string, (...args: unknown[]) => number>)[fn]!;
  const status = call(...args);
  if (status !== 0) return { status, values: [], gaps: [] };
  const read = all.map(({ memory }) => Array.from(memory.to('float64').dataSync(), Number));
  const values = all.map(({ at }, k) => at.map(position => read[k]![position]!));
  const gaps = all.map(({ at, memory }, k) => {
    const shown = new Set(at);
    const empty = memory.dtype === 'bool' ? 1 : GAP;
    return read[k]!.filter((value, position) => !shown.has(position) && value !== empty);
  });
  return { status, values, gaps };
}

/** The first element of two lists that differs by more than rounding. */
function difference(a: readonly number[], b: readonly number[], tolerance: number): string | null {
  const at = a.findIndex(
    (x, i) => !(Object.is(x, b[i]) || Math.abs(x - b[i]!) <= tolerance * Math.max(1, Math.abs(x))),
  );
  return at < 0 ? null : `element ${at} is ${b[at]}, ${a[at]} if contiguous`;
}
const tolerances: Partial<Record<DType, number>> = { float16: 4e-3, float32: 2e-5, float64: 1e-9, int64: 0 };

function compare(row: Row, float: DType, dice: Dice): string[] | 'refused' {
  return tidy(() => {
    const wanted = outcome(row, float, rowMajor);
    for (let round = 0; round < 2; round++) {
      const got = outcome(row, float, shape => layoutOf(shape, dice));
      if (got.status !== wanted.status) return [`${row[0]} in ${float}: status ${got.status}, not ${wanted.status}`];
      const wrong = wanted.values.map((values, k) => difference(values, got.values[k]!, tolerances[float]!));
      const said = wrong.flatMap((text, k) => (text === null ? [] : [`${row[0]} in ${float}: tensor ${k}: ${text}`]));
      if (got.gaps.flat().length > 0) said.push(`${row[0]} in ${float}: it writes beside a tensor`);
      if (said.length > 0) return said;
    }
    return wanted.status === 0 ? [] : 'refused';
  });
}

const rows = { elementwise, 'along axes': along, norms, products, 'lists of tensors': lists };
const dtypes = ['float32', 'float16', 'float64', 'int64'] as const;

// For the emulated device, tests/kernels tries every layout.
test.each(Object.entries(onEmulator ? {} : rows))('%s: every layout gives the same', (_, group) => {
  const dice = new Dice(20261130);
  const wrong = group.flatMap(row => {
    const results = dtypes.map(dtype => compare(row, dtype, dice));
    if (results.every(result => result === 'refused')) return [`${row[0]} is refused in every dtype`];
    return results.flatMap(result => (result === 'refused' ? [] : result));
  });
  expect(wrong.slice(0, 20)).toEqual([]);
});

// Results of 8 MiB and more are stored past the cache.
test.if(!onEmulator)('large results with gaps', () =>
  tidy(() => {
    const n = 2 ** 21 + 3;
    const wrong: string[] = [];
    for (const step of [1, 2, -1]) {
      const memory = empty([Math.abs(step) * n], { device }).fill_(GAP);
      const x = tensor([3], { device }).expand([n]).contiguous();
      const offset = step < 0 ? n - 1 : 0;
      const view = (storage: Tensor, stride: number, offset: number): Viewable => ({
        storage: storage.storage,
        info: storage.info,
        shape: [n],
        strides: [stride],
        offset,
      });
      const status = native.castor_unary(
        opNumber('unary', 'neg'),
        writeView(0, view(x, 1, 0)),
        writeView(1, view(memory, step, offset)),
        0,
        0,
      );
      const written = memory.eq(-3).sum().itemSync();
      const kept = memory.eq(GAP).sum().itemSync();
      if (status !== 0 || written !== n || kept !== memory.numel - n) wrong.push(`step ${step}: ${written}, ${kept}`);
    }
    expect(wrong).toEqual([]);
  }),
);
