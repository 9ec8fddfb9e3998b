import { memory, noGrad, randn, type Tensor } from '../runtime/index.ts';
import { gflops, timed, turns, type Bench, type Part } from './bench.ts';
import type { Figure } from './measure.ts';
import { peak } from './peak.ts';
import { dtypes, type Short } from './steps.ts';
import type { Cases, Times } from './turns.ts';

interface Product {
  /** The middle of the names of the figures. */
  readonly name: string;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly batch?: number;
  readonly dtype: Short;
  /** The limit of PyTorch's time over Castor's. */
  readonly mustOverTorch: string;
}

const square = (n: number, dtype: Short, mustOverTorch: string): Product => ({
  name: `${n}.${dtype}`,
  m: n,
  k: n,
  n,
  dtype,
  mustOverTorch,
});
const musts = { f32: '>= 1', bf16: '>= 1.2', f16: '>= 1.5' } as const;
const all: readonly Product[] = [
  square(256, 'f32', '>= 0.9'),
  ...[1024, 2048].flatMap(n => (['f32', 'bf16', 'f16'] as const).map(dtype => square(n, dtype, musts[dtype]))),
  { name: 'batched.f32', batch: 64, m: 128, k: 64, n: 128, dtype: 'f32', mustOverTorch: '>= 0.9' },
];
/** Small products, whose figures have the same names. */
const shrunk = (product: Product): Product => ({ ...product, m: 32, k: 16, n: 24 });

/** The products a b in four forms. t means that the memory of an operand is that of its transpose. */
function forms({ m, k, n, batch, dtype }: Product): Cases {
  const shape = (rows: number, columns: number): number[] => [...(batch ? [batch] : []), rows, columns];
  const make = (rows: number, columns: number): Tensor => randn(shape(rows, columns)).to(dtypes[dtype]);
  const [a, b] = [make(m, k), make(k, n)];
  const transposed = (x: Tensor): Tensor => x.transpose(-2, -1).contiguous().transpose(-2, -1);
  const [at, bt] = [transposed(a), transposed(b)];
  const product = (x: Tensor, y: Tensor) => () => noGrad(() => x.matmul(y).dispose());
  return { nn: product(a, b), nt: product(a, bt), tn: product(at, b), tt: product(at, bt) };
}

async function figuresOf(bench: Bench, given: Product): Promise<Figure[]> {
  const product = bench.tiny ? shrunk(given) : given;
  const { name, m, k, n, batch = 1, dtype, mustOverTorch } = product;
  const sizes = { m, k, n, dtype, ...(product.batch ? { batch } : {}) };
  const times = await turns(bench, { part: 'matmul', sizes, cases: forms(product) });
  memory.collect();
  const figure = (form: string): Figure => ({
    name: `matmul.${name}.${form}`,
    ...timed(times, form, gflops(2 * batch * m * k * n)),
    mustOverTorch,
  });
  return [...Object.keys(times.own).map(figure), ...(name === '1024.f32' ? earlierNames(bench, times, m * k * n) : [])];
}

/**
 * The names that the products of 1024 in float32 have had since before there were others. Their limit is for vectors of
 * 512 bits.
 */
const earlierNames = ({ level }: Bench, times: Times, work: number): Figure[] =>
  Object.keys(times.own).map(form => ({
    name: `gemm.f32.${form}.gflops`,
    ...timed(times, form, gflops(2 * work)),
    ...(level.startsWith('avx512') || level === 'amx' ? { must: '>= 130' } : {}),
  }));

/** The rates in registers, and the share of them that the product without transposes reaches. */
function shares(bench: Bench, figures: readonly Figure[]): Figure[] {
  const { f32, bf16 } = peak(bench.level, bench.threads);
  const share = (dtype: 'f32' | 'bf16', of: number, must: string | undefined): Figure[] => {
    const found = figures.find(({ name }) => name === `matmul.1024.${dtype}.nn`);
    if (!found) return [];
    const { value, torch } = found;
    const beside = torch === undefined ? {} : { torch: torch / of };
    return [
      {
        name: `matmul.1024.${dtype}.peakShare`,
        value: value / of,
        unit: 'ratio',
        ...(must ? { must } : {}),
        ...beside,
      },
    ];
  };
  return [
    { name: 'peak.f32.gflops', value: f32, unit: 'GFLOP/s' },
    { name: 'peak.bf16.gflops', value: bf16, unit: 'GFLOP/s' },
    ...share('f32', f32, '>= 0.85'),
    ...share('bf16', Math.max(f32, bf16), bench.level === 'amx' ? '>= 0.4' : undefined),
  ];
}

export const products: Part = async bench => {
  const figures: Figure[] = [];
  for (const product of all.filter(({ name }) => bench.wants(`matmul.${name}`)))
    figures.push(...(await figuresOf(bench, product)));
  if (!figures.some(({ name }) => name.startsWith('matmul.1024'))) return figures;
  try {
    return [...figures, ...shares(bench, figures)];
  } catch (error) {
    bench.failed(`the peak was not measured: ${error instanceof Error ? error.message : String(error)}`);
    return figures;
  }
};
