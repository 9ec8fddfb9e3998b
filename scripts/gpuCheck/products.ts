/**
 * Compares large products of Castor's own kernels with those of cuBLASLt. `bun scripts/gpuCheck/products.ts [--tiny]`
 * computes with cuBLASLt and starts itself once more for Castor's own, since the library decides once which it uses. The
 * other process computes each product twice, compares the two bit for bit, and sends one of them through its output.
 * The last line is `N passed, N failed`.
 */
import { writeSync } from 'node:fs';
import { deviceInfo, manualSeed, noGrad, randn, setFloat32MatmulPrecision, type Tensor } from '../../runtime/index.ts';

const tiny = process.argv.includes('--tiny');
const own = process.argv.includes('--own');

interface Problem {
  readonly sizes: readonly [m: number, n: number, k: number];
  readonly dtype: 'bfloat16' | 'float16' | 'float32';
  readonly precision: 'highest' | 'high';
  readonly transposed: readonly [a: boolean, b: boolean];
}

const sizes = tiny
  ? ([
      [64, 64, 64],
      [61, 72, 40],
    ] as const)
  : ([
      [4096, 4096, 4096],
      [4093, 4104, 2056],
    ] as const);
const types = [
  ['bfloat16', 'highest'],
  ['float16', 'highest'],
  ['float32', 'highest'],
  ['float32', 'high'],
] as const;
const layouts = [
  [false, false],
  [false, true],
  [true, false],
  [true, true],
] as const;
const problems: readonly Problem[] = sizes.flatMap(size =>
  types.flatMap(([dtype, precision]) => layouts.map(transposed => ({ sizes: size, dtype, precision, transposed }))),
);
const nameOf = ({ sizes: [m, n, k], dtype, precision, transposed: [a, b] }: Problem): string =>
  `${m} x ${n} x ${k} ${precision === 'high' ? 'tf32' : dtype}${a ? ' a.T' : ''}${b ? ' b.T' : ''}`;

const matrix = (rows: number, columns: number, dtype: Problem['dtype'], transposed: boolean): Tensor =>
  transposed ? randn([columns, rows], { dtype, device: 'cuda' }).T : randn([rows, columns], { dtype, device: 'cuda' });

/** The products of a problem, computed several times, in float32. Both processes draw the same matrices. */
function compute({ sizes: [m, n, k], dtype, precision, transposed }: Problem, times: number): Float32Array[] {
  manualSeed(m + n + k);
  setFloat32MatmulPrecision(precision);
  return noGrad(() => {
    const [a, b] = [matrix(m, k, dtype, transposed[0]), matrix(k, n, dtype, transposed[1])];
    const results = Array.from({ length: times }, () => a.matmul(b).to('float32'));
    const values = results.map(result => result.dataSync() as Float32Array);
    for (const t of [a, b, ...results]) t.dispose();
    return values;
  });
}

/** The length of the message before each product: whether the two were equal. */
const HEAD = 4;
function sendAll(): void {
  for (const problem of problems) {
    const [first, second] = compute(problem, 2);
    const [one, two] = [first!, second!].map(each => Buffer.from(each.buffer, each.byteOffset, each.byteLength));
    const head = Buffer.from(Int32Array.of(one!.equals(two!) ? 1 : 0).buffer);
    for (const part of [head, one!]) for (let at = 0; at < part.length;) at += writeSome(part, at);
  }
}
const writeSome = (bytes: Buffer, at: number): number => writeSync(1, bytes, at, Math.min(bytes.length - at, 1 << 20));

/**
 * How far two correct results may be apart, absolutely and relative to the value. Sums are in float32; the factors are
 * of size 1, and a result is as large as the square root of their number.
 */
function tolerance({ sizes: [, , k], dtype, precision }: Problem): { absolute: number; relative: number } {
  if (precision === 'high') return { absolute: 8 * Math.sqrt(k) * 2 ** -10, relative: 0 }; // cut or rounded to 10 bits
  return { absolute: 8 * k * 2 ** -24, relative: { bfloat16: 2 ** -7, float16: 2 ** -10, float32: 2 ** -20 }[dtype] };
}

function difference(problem: Problem, expected: Float32Array, actual: Float32Array): string | null {
  const { absolute, relative } = tolerance(problem);
  const n = problem.sizes[1];
  for (let i = 0; i < expected.length; i++) {
    const [x, y] = [expected[i]!, actual[i]!];
    if (!(Math.abs(x - y) <= absolute + relative * Math.abs(x)))
      return `element (${Math.floor(i / n)}, ${i % n}) is ${y}, by cuBLASLt ${x}`;
  }
  return null;
}

/** Reads exactly so many bytes of the stream. */
function reader(stream: ReadableStream<Uint8Array>): (bytes: number) => Promise<Uint8Array> {
  const chunks = stream.getReader();
  let rest = new Uint8Array(0);
  return async bytes => {
    const all = new Uint8Array(bytes);
    for (let at = 0; at < bytes;) {
      if (rest.length === 0) {
        const { value, done } = await chunks.read();
        if (done) throw new Error('the process with own kernels has ended early');
        rest = value as Uint8Array<ArrayBuffer>;
      }
      const piece = rest.subarray(0, bytes - at);
      all.set(piece, at);
      at += piece.length;
      rest = rest.subarray(piece.length);
    }
    return all;
  };
}

async function compareAll(): Promise<number> {
  const other = Bun.spawn([process.execPath, import.meta.path, '--own', ...(tiny ? ['--tiny'] : [])], {
    env: { ...process.env, CASTOR_CUBLAS: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const read = reader(other.stdout);
  let failed = 0;
  for (const problem of problems) {
    const [expected] = compute(problem, 1);
    const equal = new Int32Array((await read(HEAD)).buffer)[0] === 1;
    const actual = new Float32Array((await read(expected!.byteLength)).buffer);
    const wrong = equal ? difference(problem, expected!, actual) : 'two runs differ';
    if (wrong) console.log(`FAILED ${nameOf(problem)}\n    ${wrong}`);
    failed += Number(wrong !== null);
  }
  return failed;
}

if (own) sendAll();
else {
  let failed = await compareAll();
  if (deviceInfo('cuda').matmul === 'castor') {
    console.log('FAILED cuBLASLt was not found\n    both results are those of own kernels');
    failed++;
  }
  console.log(`${Math.max(0, problems.length - failed)} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}
