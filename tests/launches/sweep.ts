/**
 * Calls the ops with many sizes, dtypes and layouts: `CASTOR_LIBRARY=... bun tests/launches/sweep.ts`. It is for the library whose
 * CUDA runtime only checks launches (cudart.cpp). No kernel runs there, so every value is 0, and memory that is allocated is not
 * touched. The last line is the number of calls.
 */
import {
  autograd,
  empty,
  F,
  nn,
  optim,
  rand,
  randint,
  setDefaultDevice,
  setFloat32MatmulPrecision,
  ShapeError,
  synchronize,
  Tensor,
  tidy,
  zeros,
  type DType,
} from 'castor';

setDefaultDevice('cuda');

const floats: readonly DType[] = ['float32', 'float16', 'bfloat16', 'float64'];
const integers: readonly DType[] = ['int64', 'int32', 'uint8', 'bool'];
/** Around every number where a kernel changes its way to read a row, and beyond. */
const lengths = [
  1, 7, 32, 64, 129, 256, 512, 520, 1000, 1024, 2048, 2056, 4096, 4104, 8192, 8200, 16384, 16392, 32768, 50_000, 65_536,
  100_000, 262_144, 1_000_000, 1_000_003,
];
const rowCounts = [1, 2, 9, 64, 300, 4096, 70_000];
/** Elements of the largest tensors: 2^32 bytes in float64. */
const LARGEST = 2 ** 29;

const of = (shape: readonly number[], dtype: DType): Tensor => empty([...shape], { dtype });
const layouts: Readonly<Record<string, (rows: number, n: number, dtype: DType) => Tensor>> = {
  contiguous: (rows, n, dtype) => of([rows, n], dtype),
  transposed: (rows, n, dtype) => of([n, rows], dtype).T,
  unaligned: (rows, n, dtype) => of([rows, n + 1], dtype).narrow(1, 1, n),
  strided: (rows, n, dtype) => of([rows, n, 2], dtype).select(2, 0),
};

let calls = 0;
const failures = new Set<string>();

/** Makes a call, and frees what it returns. */
function call(what: string, fn: () => unknown): void {
  calls++;
  try {
    tidy(() => void fn());
  } catch (error) {
    failures.add(`${what}: ${(error as Error).name}: ${(error as Error).message}`);
  }
}

/** Makes a call, and that for the gradients of its operands. */
function both(what: string, operands: readonly Tensor[], fn: (...operands: Tensor[]) => Tensor): void {
  call(what, () => {
    const leaves = operands.map(t => t.detach().requiresGrad_());
    const y = fn(...leaves);
    autograd.grad(y, leaves, { gradOutputs: [of(y.shape, y.dtype)] });
  });
}

function rowsOfFloats(x: Tensor, what: string): void {
  const [rows, n] = x.shape as [number, number];
  const { dtype } = x;
  const weight = of([n], dtype);
  both(`softmax ${what}`, [x], a => a.softmax(1));
  both(`logSoftmax ${what}`, [x], a => a.logSoftmax(1));
  both(`layerNorm ${what}`, [x, weight, weight], (a, w, b) => F.layerNorm(a, [n], w, b));
  both(`layerNorm without weight ${what}`, [x], a => F.layerNorm(a, [n]));
  both(`rmsNorm ${what}`, [x, weight], (a, w) => F.rmsNorm(a, [n], w));
  both(`crossEntropy ${what}`, [x], a => F.crossEntropy(a, of([rows], 'int64')));
  for (const axis of [0, 1])
    for (const op of ['mean', 'var', 'logSumExp', 'norm'] as const)
      call(`${op} ${axis} ${what}`, () => (op === 'norm' ? x.norm(3, axis) : x[op](axis)));
  call(`dropout ${what}`, () => x.dropout(0.5));
  call(`add ${what}`, () => x.add(x).exp().mul(weight));
}

function rowsOfAny(x: Tensor, what: string): void {
  for (const axis of [0, 1]) {
    for (const op of ['sum', 'prod', 'amax', 'argmin', 'any'] as const)
      call(`${op} ${axis} ${what}`, () => x[op](axis));
    call(`cumsum ${axis} ${what}`, () => x.cumsum(axis));
  }
  call(`sum of all ${what}`, () => x.sum());
  if (x.dtype !== 'bool') call(`pow ${what}`, () => [x.pow(3), x.mul(x)]);
  if (integers.includes(x.dtype) && x.dtype !== 'bool')
    call(`divisions ${what}`, () => [x.floorDivide(x), x.remainder(x), x.fmod(x), x.pow(x)]);
  call(`copies ${what}`, () => [x.contiguous(), x.T.contiguous(), x.to('float32'), x.eq(x)]);
  if (x.numel > 2 ** 26) return;
  call(`sort ${what}`, () => x.sort(1));
  call(`topk ${what}`, () => x.topk(1, 1));
  const index = of(x.shape, 'int64');
  const one = of([x.shape[1]!], 'int64');
  call(`gather ${what}`, () => [x.gather(1, index), x.indexSelect(0, of([5], 'int64'))]);
  if (x.dtype === 'bool') return;
  call(`scatter ${what}`, () => [x.scatterAdd(1, index, x), x.indexAdd(1, one, x), x.indexCopy(1, one, x)]);
}

function sweepRows(dtype: DType, layout: string, rows: number, n: number): void {
  if (rows * n > LARGEST) return;
  tidy(() => {
    const x = layouts[layout]!(rows, n, dtype);
    const what = `${dtype} (${rows}, ${n}) ${layout}`;
    if (floats.includes(dtype)) rowsOfFloats(x, what);
    rowsOfAny(x, what);
  });
}

function sweepProducts(dtype: DType): void {
  const sides = [1, 2, 3, 4, 16, 17, 64, 100, 128, 192, 256, 500, 1024, 4096];
  for (const m of sides)
    for (const n of sides)
      for (const k of [1, 16, 33, 512, 4096, 20_000])
        tidy(() => {
          const a = of([m, k], dtype);
          const b = of([k, n], dtype);
          const what = `${dtype} (${m}, ${k}) (${k}, ${n})`;
          call(`matmul ${what}`, () => a.matmul(b));
          call(`linear ${what}`, () => F.linear(a, of([n, k], dtype), of([n], dtype)));
          call(`matmul transposed ${what}`, () => of([k, m], dtype).T.matmul(of([n, k], dtype).T));
          call(`matmul unaligned ${what}`, () =>
            of([m, k + 1], dtype)
              .narrow(1, 1, k)
              .matmul(of([k, n + 1], dtype).narrow(1, 1, n)),
          );
          if (m * n < 2 ** 16) call(`batches ${what}`, () => of([3, m, k], dtype).matmul(of([3, k, n], dtype)));
        });
}

function sweepAttention(dtype: DType): void {
  for (const width of [1, 8, 16, 40, 64, 96, 128, 160, 256])
    for (const [queries, keys] of [
      [1, 1000],
      [7, 7],
      [64, 64],
      [130, 200],
      [1024, 1024],
      [4096, 100],
    ] as const)
      for (const causal of [false, true])
        for (const mask of [undefined, 'bool', dtype] as const)
          tidy(() => {
            const [q, k, v] = [queries, keys, keys].map(n => of([2, 12, n, width], dtype)) as [Tensor, Tensor, Tensor];
            const options = { causal, ...(mask ? { mask: of([queries, keys], mask) } : {}) };
            both(`attention ${dtype} ${queries} ${keys} ${width}`, [q, k, v], (...qkv) =>
              F.scaledDotProductAttention(...(qkv as [Tensor, Tensor, Tensor]), options),
            );
          });
}

function sweepImages(dtype: DType): void {
  for (const [batch, channels, side] of [
    [1, 3, 5],
    [2, 16, 14],
    [32, 64, 56],
    [8, 256, 28],
    [3, 1000, 1],
    [1, 512, 8],
    [1, 2, 2000],
  ] as const)
    tidy(() => {
      const x = of([batch, channels, side, side], dtype);
      const what = `${dtype} (${batch}, ${channels}, ${side}, ${side})`;
      const affine = [of([channels], dtype), of([channels], dtype)] as const;
      for (const kernel of [1, 3].filter(size => size <= side))
        for (const [out, groups] of [
          [8, 1],
          [channels, channels],
          [3, 1],
        ] as const) {
          const weight = of([out, channels / groups, kernel, kernel], dtype);
          both(`conv2d ${what} ${kernel} ${groups}`, [x, weight, of([out], dtype)], (a, w, b) =>
            F.conv2d(a, w, b, { groups, padding: 1 }),
          );
        }
      both(`batchNorm ${what}`, [x, ...affine], (a, weight, bias) => F.batchNorm(a, { weight, bias, training: true }));
      both(`batchNorm of another layout ${what}`, [x.transpose(2, 3), ...affine], (a, weight, bias) =>
        F.batchNorm(a, { weight, bias, training: true }),
      );
      both(`groupNorm ${what}`, [x, ...affine], (a, weight, bias) =>
        F.groupNorm(a, channels % 8 ? 1 : 8, weight, bias),
      );
      if (side < 2) return;
      both(`maxPool2d ${what}`, [x], a => F.maxPool2d(a, 2));
      both(`avgPool2d ${what}`, [x], a => F.avgPool2d(a, 2));
    });
}

function sweepTraining(dtype: DType): void {
  const shapes = [
    [1],
    [7, 3],
    [1000],
    [4096, 4096],
    [50_257, 768],
    ...Array.from({ length: 100 }, (_, i) => [i + 1, 33]),
  ];
  tidy(() => {
    const parameters = shapes.map(shape => nn.Parameter(of(shape, dtype)));
    parameters.push(nn.Parameter(of([64, 96], dtype).T));
    for (const p of parameters) p.grad = of(p.shape, dtype);
    const optimizers = [
      new optim.SGD(parameters, { lr: 0.1, momentum: 0.9 }),
      new optim.SGD(parameters, { lr: 0.1 }),
      new optim.Adam(parameters, { amsgrad: true }),
      new optim.AdamW(parameters),
    ];
    for (const optimizer of optimizers) call(`${optimizer.constructor.name} ${dtype}`, () => optimizer.step());
    for (const p of [1, 2, 3, Infinity])
      call(`clipGradNorm ${p} ${dtype}`, () => nn.clipGradNorm(parameters, 1, { normType: p }));
    call(`clipGradValue ${dtype}`, () => nn.clipGradValue(parameters, 1));
    for (const p of parameters) p.grad = null;
  });
  call(`embedding ${dtype}`, () => {
    const weight = of([50_257, 768], dtype).requiresGrad_();
    const y = F.embedding(of([8, 1024], 'int64'), weight);
    autograd.grad(y, [weight], { gradOutputs: [of(y.shape, dtype)] });
  });
  call(`multinomial ${dtype}`, () => of([5, 1000], dtype).multinomial(3));
  call(`crossEntropy of images ${dtype}`, () => {
    const logits = of([8, 21, 64, 64], dtype).requiresGrad_();
    autograd.grad(F.crossEntropy(logits, of([8, 64, 64], 'int64')), [logits]);
  });
  call(`randint`, () => [
    randint(0, 2 ** 40, [100]),
    randint(0, 5, [100]),
    rand([1001], { dtype }),
    zeros([5], { dtype }),
  ]);
}

/**
 * Rows and results that 32 bits do not count: ops either divide their work, or refuse it before anything is launched. The
 * memory is only reserved.
 */
function sweepLarge(): void {
  const rows = 2 ** 31;
  tidy(() => {
    const bytes = of([rows, 3], 'uint8');
    const halves = of([rows, 3], 'float16');
    const index = of([rows, 3], 'int64');
    call('add of 2^31 rows', () => halves.add(1));
    call('softmax of 2^31 rows', () => halves.softmax(1));
    call('copy of 2^31 rows', () => bytes.to('int32'));
    call('gather from 2^31 rows', () => bytes.gather(1, index));
    const refused: Readonly<Record<string, () => unknown>> = {
      'sums of rows': () => bytes.any(1),
      'sums of columns': () => bytes.any(0),
      'sums of columns that are neighbours': () => of([3, rows], 'uint8').any(0),
      'running sums': () => bytes.cumsum(1),
      'running sums of neighbours': () => of([3, rows], 'uint8').cumsum(0),
      sort: () => bytes.sort(1),
      scatterAdd: () => bytes.scatterAdd(1, index, bytes),
      'gradients of layerNorm': () => {
        const leaf = halves.requiresGrad_();
        autograd.grad(F.layerNorm(leaf, [3]), [leaf], { gradOutputs: [halves] });
      },
    };
    for (const [what, fn] of Object.entries(refused))
      call(`${what} of 2^31 rows`, () => {
        const error = thrown(fn);
        if (!(error instanceof ShapeError && /Split the tensor along an axis/.test(error.message)))
          throw new Error(`a ShapeError was expected, and not ${error ?? 'a result'}`);
      });
  });
}
function thrown(fn: () => unknown): unknown {
  try {
    return void tidy(() => void fn());
  } catch (error) {
    return error;
  }
}

const wanted = process.argv.slice(2);
const parts: Readonly<Record<string, () => void>> = {
  rows: () => {
    for (const dtype of [...floats, ...integers])
      for (const layout of Object.keys(layouts))
        for (const rows of rowCounts) for (const n of lengths) sweepRows(dtype, layout, rows, n);
  },
  products: () => {
    for (const dtype of [...floats, 'int64'] as const) sweepProducts(dtype);
    setFloat32MatmulPrecision('high');
    sweepProducts('float32');
    setFloat32MatmulPrecision('highest');
  },
  others: () => {
    sweepLarge();
    for (const sweep of [sweepAttention, sweepImages, sweepTraining]) floats.forEach(sweep);
  },
};
for (const [name, part] of Object.entries(parts)) if (wanted.length === 0 || wanted.includes(name)) part();
synchronize('cuda');
for (const failure of failures) console.log(`FAILED ${failure}`);
console.log(`${calls} calls, ${failures.size} failed`);
process.exit(failures.size === 0 ? 0 : 1);
