/** Figures of a GPU with their limits, and PyTorch's figures from the same run. */
import { deviceInfo, getDefaultDevice, isAvailable, memory } from '../runtime/index.ts';
import { writeJson } from '../scripts/native.ts';
import { OWN_MATMUL, parts, type Figures, type Part } from './gpuParts.ts';
import { large, tiny } from './gpuSizes.ts';
import { median } from './measure.ts';
import { startTorch, type Torch } from './torch.ts';

const HELP = `Usage: bun benchmarks/gpu.ts [--only PART,...] [--tiny] [--no-torch] [--limit SECONDS] [--out FILE]
Measures each part in turn with PyTorch (when python3 can import torch), three times each, and prints medians and what is promised.
  --only    of ${Object.keys(parts).join(', ')}
  --tiny    small sizes, which prove the code and say nothing of speed
  --limit   after so many seconds (3600) no part is begun, none measured again, and PyTorch is ended
  --out     the same as JSON, written after each part
  --figures Castor's figures only, one JSON object`;

const args = process.argv.slice(2);
const flag = (name: string): boolean => args.includes(name);
const option = (name: string): string | undefined => (flag(name) ? args[args.indexOf(name) + 1] : undefined);
const only = option('--only')?.split(',');
const sizes = flag('--tiny') ? tiny : large;
const limit = Number(option('--limit') ?? 3600) * 1000;
/** The milliseconds that the other process may take for one answer. */
const patience = (): number => Math.ceil(Math.max(1000, Math.min(60_000, limit - performance.now())));
const rounds = flag('--tiny') ? 1 : 3;

/** A limit for one figure, or for the ratio of two (a leading torch: means PyTorch's figure). */
interface Promised {
  readonly figure: string;
  readonly over?: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}
const promises: readonly Promised[] = [
  { figure: 'add.f32.gbps', over: 'torch:add.f32.gbps', atLeast: 0.95 },
  { figure: 'add.bf16.gbps', over: 'torch:add.bf16.gbps', atLeast: 0.95 },
  { figure: 'add.f32.gbps', over: 'copy.gbps', atLeast: 0.9 },
  { figure: 'add.bf16.gbps', over: 'copy.gbps', atLeast: 0.9 },
  { figure: 'torch:softmax.bf16.ms', over: 'softmax.bf16.ms', atLeast: 1.2 },
  { figure: 'torch:layerNorm.bf16.ms', over: 'layerNorm.bf16.ms', atLeast: 1.2 },
  { figure: 'unscale.gbps', over: 'copy.gbps', atLeast: 0.85 },
  { figure: 'torch:adamw.ms', over: 'adamw.ms', atLeast: 1.1 },
  { figure: 'matmul.bf16.tflops', over: 'torch:matmul.bf16.tflops', atLeast: 0.98 },
  { figure: 'matmul.own.bf16.tflops', over: 'torch:matmul.bf16.tflops', atLeast: 0.6 },
  { figure: 'launch.us', atMost: 2.5 },
  { figure: 'start.seconds', atMost: 1.5 },
  { figure: 'gpt.bf16.tokens', over: 'torch:gpt.bf16.tokens', atLeast: 1.15 },
  { figure: 'gpt.graph.tokens', over: 'torch:gpt.bf16.tokens', atLeast: 1.3 },
  { figure: 'gpt.bf16.tokens', over: 'gpt.f32.tokens', atLeast: 3 },
  { figure: 'gpt.bf16.peak.mb', over: 'gpt.f32.peak.mb', atMost: 0.6 },
];

const castor: Figures = {};
const torch: Figures = {};
const failures: string[] = [];
const failed =
  (name: string) =>
  (error: unknown): null => {
    failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  };

/** Runs a part on both sides in turn, and keeps the median of each figure. */
async function measure(name: string, part: Part, other: Torch | null): Promise<void> {
  const own = part(sizes);
  const keep = (into: Figures, runs: Figures[], figures: Figures): void => {
    runs.push(figures);
    for (const figure of Object.keys(figures)) into[figure] = median(runs.map(each => each[figure]!));
  };
  const [ours, theirs]: [Figures[], Figures[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    if (round > 0 && performance.now() > limit) throw new Error(`measured ${round} times only, the time was up`);
    keep(castor, ours, own());
    if (other) keep(torch, theirs, await other.measure(name, sizes, patience()));
  }
}

/** Selects Castor's own products in another process, because the library decides only once whether it uses cuBLASLt. */
function ownProducts(): void {
  const command = [
    process.execPath,
    import.meta.path,
    '--figures',
    '--only',
    'matmul',
    ...(flag('--tiny') ? ['--tiny'] : []),
  ];
  const env = { ...process.env, CASTOR_CUBLAS: '0' };
  const child = Bun.spawnSync(command, { env, timeout: patience(), killSignal: 'SIGKILL' });
  if (child.exitCode !== 0) throw new Error(`${child.signalCode ?? ''} ${child.stderr.toString().slice(-2000)}`);
  castor[OWN_MATMUL] = (JSON.parse(child.stdout.toString()) as Figures)[OWN_MATMUL]!;
}

async function attempt(name: string, run: () => void | Promise<void>): Promise<void> {
  const start = performance.now();
  if (start > limit) return void failures.push(`${name}: not begun, the time was up`);
  try {
    await run();
  } catch (error) {
    failed(name)(error);
  }
  memory.collect();
  memory.releaseCached();
  save();
  console.error(`${name}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

const valueOf = (name: string): number | undefined =>
  name.startsWith('torch:') ? torch[name.slice('torch:'.length)] : castor[name];

interface Verdict {
  readonly promise: string;
  readonly value: number | null;
  readonly kept: boolean | null;
}
function verdict({ figure, over, atLeast, atMost }: Promised): Verdict {
  const [a, b] = [valueOf(figure), over === undefined ? 1 : valueOf(over)];
  const promise = `${figure}${over ? ` / ${over}` : ''} ${atLeast === undefined ? `<= ${atMost}` : `>= ${atLeast}`}`;
  if (a === undefined || b === undefined) return { promise, value: null, kept: null };
  return { promise, value: a / b, kept: a / b >= (atLeast ?? 0) && a / b <= (atMost ?? Infinity) };
}

const show = (value: number | undefined): string =>
  value === undefined ? '' : value >= 100 ? value.toFixed(0) : value.toPrecision(3);

function printTable(verdicts: readonly Verdict[]): void {
  console.log(`${'figure'.padEnd(24)}${'Castor'.padStart(10)}${'PyTorch'.padStart(10)}`);
  for (const name of new Set([...Object.keys(castor), ...Object.keys(torch)]))
    console.log(`${name.padEnd(24)}${show(castor[name]).padStart(10)}${show(torch[name]).padStart(10)}`);
  console.log();
  for (const { promise, value, kept } of verdicts) {
    const word = kept === null ? 'not measured' : flag('--tiny') ? 'too small to say' : kept ? 'kept' : 'NOT KEPT';
    console.log(`${promise.padEnd(58)}${show(value ?? undefined).padStart(8)}  ${word}`);
  }
  for (const failure of failures) console.log(`failed: ${failure}`);
}

function save(): void {
  const out = option('--out');
  const about = { device: deviceInfo('cuda'), defaultDevice: getDefaultDevice(), torch: other?.about ?? null };
  if (!out) return;
  const all = { ...about, sizes, castor, pytorch: torch, verdicts: promises.map(verdict), failures };
  try {
    writeJson(out, all);
  } catch (error) {
    // The figures are printed as well.
    const failure = `${out} is not written: ${(error as Error).message}`;
    if (!failures.includes(failure)) failures.push(failure);
  }
}

if (flag('--help')) {
  console.log(HELP);
  process.exit(0);
}
if (!isAvailable('cuda')) {
  console.error(`no CUDA device: ${deviceInfo('cuda').reason}`);
  process.exit(1);
}
const other = flag('--no-torch') || flag('--figures') ? null : await startTorch('gpu.py').catch(failed('PyTorch'));
for (const [name, part] of Object.entries(parts)) {
  if (only && !only.includes(name)) continue;
  await attempt(name, () => measure(name, part, other?.parts.includes(name) ? other : null));
  // Unless cuBLASLt was not found.
  if (name === 'matmul' && !flag('--figures') && castor[OWN_MATMUL] === undefined)
    await attempt('matmul with own kernels', ownProducts);
}
other?.stop();

if (flag('--figures')) {
  console.log(JSON.stringify(castor));
  for (const failure of failures) console.error(failure);
} else {
  save();
  printTable(promises.map(verdict));
}
process.exit(failures.length > 0 ? 1 : 0);
